/**
 * What intermediaries append to a tag when they encode a response: a separator and the name of the content coding. Apache,
 * Caddy and lighttpd write `"1-gzip"`, Jetty `"1--gzip"`, others `"1;gzip"`, and some put it behind the closing quote.
 */
const CODINGS = [
  'x-gzip',
  'x-compress',
  'brotli',
  'bzip2',
  'compress',
  'deflate',
  'gzip',
  'zstd',
  'dcb',
  'dcz',
  'br',
  'df',
  'gz',
]
const SEPARATORS = new Set(['-', ';', ':', '+', '.', '_'])
/** A response that was encoded by more intermediaries than this is not expected. */
const MAX_SUFFIXES = 4

const isBlank = (char: string | undefined): boolean => char === ' ' || char === '\t'

/** A character of an opaque tag (`etagc`, RFC 9110 section 8.8.3): visible, or beyond ASCII, and no quote. */
function isTagCharacter(code: number): boolean {
  return code === 0x21 || (code >= 0x23 && code <= 0x7e) || (code >= 0x80 && code <= 0xff)
}

function isOpaque(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isTagCharacter(text.charCodeAt(i))) return false
  return true
}

/** The tag without the last suffix of a content coding; undefined where it has none. */
function withoutSuffix(tag: string): string | undefined {
  const end = tag.slice(-16).toLowerCase()
  const coding = CODINGS.find((name) => end.endsWith(name))
  if (coding === undefined) return undefined
  let length = tag.length - coding.length
  if (!SEPARATORS.has(tag[length - 1] ?? '')) return undefined
  length -= 1
  if (tag[length] === '-' && tag[length - 1] === '-') length -= 1
  return tag.slice(0, length)
}

/** The tag, and what it can have been before intermediaries marked it. */
function formsOf(tag: string): string[] {
  const forms = [tag]
  for (let form = withoutSuffix(tag); form !== undefined; form = withoutSuffix(form)) {
    forms.push(form)
    if (forms.length > MAX_SUFFIXES) break
  }
  return forms
}

/** Whether text that follows a closing quote is nothing but suffixes of content codings. */
const isSuffix = (text: string): boolean => text === '' || formsOf(text).at(-1) === ''

/**
 * Reads `If-Match` or `If-None-Match`: a list of entity tags, of which empty elements are ignored (RFC 9110 sections 5.6.1, 13.1.1
 * and 13.1.2). Time is linear in the length of the list.
 * @returns the opaque tags without quotes and without `W/`, with what stands behind the closing quote; `*` as itself; undefined
 * for anything else
 */
function parseTags(list: string): '*' | string[] | undefined {
  if (list.trim() === '*') return '*'
  const tags: string[] = []
  let i = 0
  for (;;) {
    while (isBlank(list[i]) || list[i] === ',') i++
    if (i === list.length) return tags.length > 0 ? tags : undefined
    if (list.startsWith('W/', i)) i += 2
    const close = list[i] === '"' ? list.indexOf('"', i + 1) : -1
    if (close < 0) return undefined
    let end = close + 1
    while (end < list.length && !isBlank(list[end]) && list[end] !== ',') end++
    const opaque = list.slice(i + 1, close)
    const behind = list.slice(close + 1, end)
    if (!isOpaque(opaque) || !isSuffix(behind)) return undefined
    tags.push(opaque + behind)
    i = end
    while (isBlank(list[i])) i++
    if (i < list.length && list[i] !== ',') return undefined
  }
}

/** Whether text is `*` or a list of one or more entity tags. */
export const isTagList = (list: string): boolean => parseTags(list) !== undefined

/**
 * The opaque tags that a list may mean, each in every form that it can have had before intermediaries changed it. `W/` is
 * ignored: an intermediary puts it there when it compresses, and a tag of this service names a revision, not bytes
 * (docs/decisions/0021).
 * @returns undefined where any tag will do: for `*`, and without a list
 */
export function namedTags(list: string | undefined): string[] | undefined {
  const tags = list === undefined ? '*' : (parseTags(list) ?? [])
  return tags === '*' ? undefined : [...new Set(tags.flatMap(formsOf))]
}

/** The entity tag of a representation, strong: nothing that this service sends is encoded. */
export const tagOf = (opaque: string | number): string => `"${opaque}"`

/** Whether the client holds what `etag` (of `tagOf`) names, by its `If-None-Match`. A list that is malformed names nothing. */
export function isHeld(ifNoneMatch: string | undefined, etag: string): boolean {
  return ifNoneMatch !== undefined && (namedTags(ifNoneMatch)?.includes(etag.slice(1, -1)) ?? true)
}

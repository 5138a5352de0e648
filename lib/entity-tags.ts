/**
 * Content codings that intermediaries append to a tag when they encode a response, after a separator. Apache,
 * Caddy and lighttpd write `"1-gzip"`, Jetty `"1--gzip"`, others `"1;gzip"`, and some append it after the
 * closing quote.
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
/** Max suffixes that are removed. A response is not expected to be encoded by more intermediaries. */
const MAX_SUFFIXES = 4

const isBlank = (char: string | undefined): boolean => char === ' ' || char === '\t'

/**
 * Whether a character may be in an opaque tag (`etagc`, RFC 9110 section 8.8.3): visible ASCII except the
 * quote, or beyond ASCII.
 */
function isTagCharacter(code: number): boolean {
  return code === 0x21 || (code >= 0x23 && code <= 0x7e) || (code >= 0x80 && code <= 0xff)
}

function isOpaque(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!isTagCharacter(text.charCodeAt(i))) return false
  return true
}

/** Returns the tag without the last suffix of a content coding; undefined if there is none. */
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

/** Returns the tag, and each form that it may have had before intermediaries appended suffixes. */
function formsOf(tag: string): string[] {
  const forms = [tag]
  for (let form = withoutSuffix(tag); form !== undefined; form = withoutSuffix(form)) {
    forms.push(form)
    if (forms.length > MAX_SUFFIXES) break
  }
  return forms
}

/** Whether the text after a closing quote consists only of suffixes of content codings. */
const isSuffix = (text: string): boolean => text === '' || formsOf(text).at(-1) === ''

/**
 * Parses `If-Match` or `If-None-Match`: a list of entity tags, of which empty elements are ignored (RFC 9110
 * sections 5.6.1, 13.1.1 and 13.1.2). Time is linear in the length of the list.
 * @returns the opaque tags without quotes and without `W/`, followed by the suffixes after the closing quote;
 * `*` as itself; undefined for anything else
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

/** Whether a text is `*` or a list of one or more entity tags. */
export const isTagList = (list: string): boolean => parseTags(list) !== undefined

/**
 * Returns the opaque tags of a list, each in every form that it may have had before intermediaries changed
 * it. `W/` is ignored: intermediaries add it when they compress, and a tag of this service names a revision,
 * not bytes (docs/decisions/0021).
 * @returns undefined if any tag matches: for `*`, and without a list
 */
export function namedTags(list: string | undefined): string[] | undefined {
  const tags = list === undefined ? '*' : (parseTags(list) ?? [])
  return tags === '*' ? undefined : [...new Set(tags.flatMap(formsOf))]
}

/**
 * Returns the entity tag of a representation. It is strong, because each content coding has a tag of its own
 * (lib/representation.ts).
 */
export const tagOf = (opaque: string | number): string => `"${opaque}"`

/**
 * Whether the client already has the representation of `etag` (of `tagOf`), according to its `If-None-Match`.
 * A malformed list matches no tag.
 */
export function isHeld(ifNoneMatch: string | undefined, etag: string): boolean {
  return ifNoneMatch !== undefined && (namedTags(ifNoneMatch)?.includes(etag.slice(1, -1)) ?? true)
}

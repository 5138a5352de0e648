/** Names by which polyfills of EventSource send the last id, which they keep current, in lower case, without `_` and `-`. */
const LAST_ID_NAMES = new Set(['lasteventid', 'evslasteventid'])
const START_NAME = 'since'

const plainName = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, '')

/** Whether a parameter of the query is one that carries a cursor, however it is written. */
export function isCursorParameter(name: string): boolean {
  const plain = plainName(name)
  return plain === START_NAME || LAST_ID_NAMES.has(plain)
}

/** The last of these that is not empty. */
const lastOf = (values: readonly string[]): string | undefined => values.findLast((value) => value !== '')

/** The values of a header, one a line, also where an intermediary has joined the lines. Names in `rawHeaders` keep their case. */
function headerValues(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders
    .filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
    .flatMap((value) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
}

/**
 * Finds where a client left off. `Last-Event-ID` comes first, since browsers keep it current; then the parameters by which
 * polyfills send it; then `since`, which stays in the address as the page wrote it. An empty value counts as absent. Of a repeated
 * parameter the last value counts, because polyfills append theirs.
 * @param rawHeaders as Node gives them: names and values in turn
 * @param url with its query
 * @returns `conflict` where the header comes twice with different values: neither can be preferred
 */
export function findCursor(
  rawHeaders: readonly string[],
  url: string,
): { cursor: string | undefined } | { conflict: 'last-event-id' } {
  const [header, ...others] = new Set(headerValues(rawHeaders, 'last-event-id'))
  if (others.length > 0) return { conflict: 'last-event-id' }
  if (header !== undefined) return { cursor: header }
  const query = url.indexOf('?')
  const parameters = query < 0 ? [] : [...new URLSearchParams(url.slice(query + 1))]
  const valuesOf = (isWanted: (name: string) => boolean) =>
    parameters.filter(([name]) => isWanted(plainName(name))).map(([, value]) => value.trim())
  return {
    cursor:
      lastOf(valuesOf((name) => LAST_ID_NAMES.has(name))) ?? lastOf(valuesOf((name) => name === START_NAME)),
  }
}

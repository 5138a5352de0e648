/**
 * Names of the query parameters in which polyfills of EventSource send the last event id, in lower case and
 * without `_` and `-`. The polyfills update them with each reconnect.
 */
const LAST_ID_NAMES = new Set(['lasteventid', 'evslasteventid'])
const START_NAME = 'since'

const plainName = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, '')

/** Whether a query parameter carries a cursor, in any spelling. */
export function isCursorParameter(name: string): boolean {
  const plain = plainName(name)
  return plain === START_NAME || LAST_ID_NAMES.has(plain)
}

/** Returns the last value that is not empty. */
const lastOf = (values: readonly string[]): string | undefined => values.findLast((value) => value !== '')

/**
 * Returns the values of a header, even if an intermediary has joined its lines. Names in `rawHeaders` keep
 * their case.
 */
function headerValues(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders
    .filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
    .flatMap((value) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
}

/**
 * Finds the cursor from which a client resumes. `Last-Event-ID` comes first, because browsers update it with
 * each reconnect; then the parameters of polyfills; then `since`, which stays in the URL as the page wrote
 * it. An empty value counts as absent. If a parameter is repeated, the last value counts, because polyfills
 * append theirs.
 * @param rawHeaders as Node provides them: names and values in turn
 * @param url with its query
 * @returns `conflict` if the header occurs with different values, of which none can be preferred
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

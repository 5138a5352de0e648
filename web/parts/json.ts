/**
 * Prefix of a string that represents a number which JavaScript would write differently. No text of an item
 * contains NUL.
 */
const MARK = '\0'

/** A string or a number in a JSON text. */
const TOKEN = /"(?:[^"\\]|\\[^])*"?|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/g

/** Whether the value represents a number that JavaScript would write differently. */
export const isExact = (value: unknown): boolean => typeof value === 'string' && value.startsWith(MARK)

/**
 * Parses JSON. A number that JavaScript would write differently becomes a string that begins with NUL (see
 * `isExact`).
 */
export const parse = (text: string): unknown =>
  JSON.parse(
    text.replace(TOKEN, (token) =>
      token.startsWith('"') || String(Number(token)) === token ? token : `"\\u0000${token}"`,
    ),
  )

/** Writes a value of `parse` as JSON, with each number exactly as it was. */
export const stringify = (value: unknown): string =>
  JSON.stringify(value).replace(/"\\u0000([-+.\deE]+)"/g, '$1')

/** Begins the text that stands for a number which a double would change. No text of an item holds NUL. */
const MARK = '\0'

/** A text, or a number, of JSON. */
const TOKEN = /"(?:[^"\\]|\\[^])*"?|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/g

/** Whether the value stands for a number. */
export const isExact = (value) => typeof value === 'string' && value.startsWith(MARK)

/** Parses JSON. A number that JavaScript would write otherwise is a text that begins with NUL (see `isExact`). */
export const parse = (text) =>
  JSON.parse(
    text.replace(TOKEN, (token) =>
      token.startsWith('"') || String(Number(token)) === token ? token : `"\\u0000${token}"`,
    ),
  )

/** Writes what `parse` has read as JSON, each number as it was. */
export const stringify = (value) => JSON.stringify(value).replace(/"\\u0000([-+.\deE]+)"/g, '$1')

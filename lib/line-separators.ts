/**
 * Characters that JSON leaves as they are in a string, and at which clients end a line that split text by Unicode: Python's
 * `str.splitlines` at U+0085, U+2028 and U+2029, JavaScript's older parsers at the last two. The others of these, U+000A to
 * U+000D and U+001C to U+001E, are control characters that JSON has escaped already.
 */
const SEPARATORS = /[\u0085\u2028\u2029]/g

/** How the UTF-8 of these characters begins. */
const LEADS = [0xc2, 0xe2] as const

/** JSON that means the same and that no client ends a line in. */
export const escapeSeparators = (json: string): string =>
  json.replace(SEPARATORS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** As `escapeSeparators`, for JSON in UTF-8. Returns the same bytes where there is nothing to escape: nearly always. */
export function escapeSeparatorBytes(json: Uint8Array): Uint8Array {
  const bytes = Buffer.isBuffer(json) ? json : Buffer.from(json.buffer, json.byteOffset, json.byteLength)
  if (LEADS.every((lead) => !bytes.includes(lead))) return json
  const text = bytes.toString()
  const escaped = escapeSeparators(text)
  return escaped === text ? json : Buffer.from(escaped)
}

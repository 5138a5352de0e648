/**
 * Characters that JSON does not escape in a string, and at which clients that split text by Unicode rules end
 * a line: Python's `str.splitlines` at U+0085, U+2028 and U+2029, older JavaScript parsers at the last two.
 * The other line ends of Unicode, U+000A to U+000D and U+001C to U+001E, are control characters, which JSON
 * escapes.
 */
const SEPARATORS = /[\u0085\u2028\u2029]/g

/** The first bytes of these characters in UTF-8. */
const LEADS = [0xc2, 0xe2] as const

/** Escapes the separators in JSON, so that no client ends a line within it. The meaning stays the same. */
export const escapeSeparators = (json: string): string =>
  json.replace(SEPARATORS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)

/**
 * Escapes the separators in JSON in UTF-8. Returns the same array if there is nothing to escape, which is
 * nearly always.
 */
export function escapeSeparatorBytes(json: Uint8Array): Uint8Array {
  const bytes = Buffer.isBuffer(json) ? json : Buffer.from(json.buffer, json.byteOffset, json.byteLength)
  if (LEADS.every((lead) => !bytes.includes(lead))) return json
  const text = bytes.toString()
  const escaped = escapeSeparators(text)
  return escaped === text ? json : Buffer.from(escaped)
}

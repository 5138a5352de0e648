/**
 * Returns the continuation bytes that must follow a lead byte (The Unicode Standard, table 3-7): their
 * number, and the range of the first one. Undefined for a byte that is not a lead byte.
 */
function sequenceOf(lead: number): { length: number; from: number; to: number } | undefined {
  if (lead < 0x80) return { length: 0, from: 0x80, to: 0xbf }
  if (lead < 0xc2) return undefined
  if (lead < 0xe0) return { length: 1, from: 0x80, to: 0xbf }
  if (lead < 0xf0) return { length: 2, from: lead === 0xe0 ? 0xa0 : 0x80, to: lead === 0xed ? 0x9f : 0xbf }
  if (lead < 0xf5) return { length: 3, from: lead === 0xf0 ? 0x90 : 0x80, to: lead === 0xf4 ? 0x8f : 0xbf }
  return undefined
}

const isBetween = (byte: number | undefined, from: number, to: number): boolean =>
  byte !== undefined && byte >= from && byte <= to

/**
 * Finds the first byte that is not part of a valid UTF-8 sequence: the lead byte of a sequence that is
 * invalid or incomplete.
 * @returns its index, or -1 if all bytes are UTF-8
 */
export function findInvalidUtf8(bytes: Uint8Array): number {
  let index = 0
  while (index < bytes.length) {
    const sequence = sequenceOf(bytes[index] ?? 0)
    if (!sequence) return index
    const { length, from, to } = sequence
    for (let n = 1; n <= length; n++) {
      if (!isBetween(bytes[index + n], n === 1 ? from : 0x80, n === 1 ? to : 0xbf)) return index
    }
    index += 1 + length
  }
  return -1
}

const UTF16 = 'is UTF-16, not UTF-8'

/**
 * Detects UTF-16 and UTF-32 by the first bytes of a text.
 * @returns a description for error messages; undefined if neither is detected
 */
export function foreignEncoding(bytes: Uint8Array): string | undefined {
  const [first, second, third, fourth] = bytes
  const isZero = (byte: number | undefined) => byte === 0
  if (first === 0xff && second === 0xfe)
    return isZero(third) && isZero(fourth) ? 'is UTF-32, not UTF-8' : UTF16
  if (first === 0xfe && second === 0xff) return UTF16
  if (isZero(first) && isZero(second) && third === 0xfe && fourth === 0xff) return 'is UTF-32, not UTF-8'
  // Without a byte order mark: in UTF-16, one of the two bytes of an ASCII character is zero.
  if (bytes.length > 1 && isZero(first) !== isZero(second)) return UTF16
  return undefined
}

/** Describes the byte at which a text is not UTF-8, for error messages. */
export function describeInvalidUtf8(byte: number | undefined, offset: number): string {
  const value = byte === undefined ? '' : ` 0x${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return `is not UTF-8: invalid byte${value} at offset ${offset}`
}

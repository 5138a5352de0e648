/** Begins the text that an `ExactNumber` is in JSON until `restoreNumbers`. No text that is stored holds NUL. */
const MARK = '\0'
const MARKED = /"\\u0000([-+.\deE]+)"/g

/** A number of JSON that would be another one, or be written otherwise, as a double: its text. */
export class ExactNumber {
  constructor(readonly text: string) {}

  toJSON(): string {
    return MARK + this.text
  }
}

/** JSON that `JSON.stringify` or a serializer has made, with its exact numbers as numbers. */
export const restoreNumbers = (json: string): string =>
  json.includes('"\\u0000') ? json.replace(MARKED, '$1') : json

const MAX_DIGITS = 15
const MAX_INTEGER = 2n ** 53n
/** Below it, doubles have fewer digits. */
const MIN_NORMAL = 2.3e-308

/** Where a text of digits begins and ends without the zeros at its ends. */
function significant(digits: string): string {
  let start = 0
  let end = digits.length
  while (start < end && digits[start] === '0') start += 1
  while (end > start && digits[end - 1] === '0') end -= 1
  return digits.slice(start, end)
}

/**
 * Whether every program that reads the number as a double reads the same: it has at most 15 significant digits, or is an
 * integer up to 2^53, and is within the range of a double.
 * @param text a number as JSON writes it
 */
export function isHeldByDouble(text: string): boolean {
  const [, whole = '', fraction = '', exponent] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? []
  const digits = significant(whole + fraction)
  if (digits === '') return true
  const size = Math.abs(Number(text))
  if (digits.length <= MAX_DIGITS) return Number.isFinite(size) && size >= MIN_NORMAL
  // 2^53 has 16 digits; a longer text is not worth an integer of its own.
  const isInteger = exponent === undefined && significant(fraction) === ''
  return isInteger && digits.length <= 16 && whole.length <= 16 && BigInt(whole) <= MAX_INTEGER
}

/** Why such a number is refused. */
export const INEXACT =
  'is a number that many programs would read as another one: send it as text (at most 15 digits, or an integer up to 2^53)'

/** Longer than any number that PostgreSQL writes and an item has room for; with an exponent it writes none. */
const MAX_STORED_LENGTH = 1000

/** Whether an item can have the number already: only then it may be given. */
export const canBeStored = ({ text }: ExactNumber): boolean =>
  text.length <= MAX_STORED_LENGTH && !/e/i.test(text)

/** The length of a number that is written without an exponent, as PostgreSQL does: `1e+21` is 22 digits. */
export function decimalLength(number: number): number {
  const text = String(number)
  const [, sign = '', whole = '', fraction = '', exponent] =
    /^(-?)(\d+)(?:\.(\d+))?e([-+]\d+)$/.exec(text) ?? []
  if (exponent === undefined) return text.length
  const power = Number(exponent)
  const digits = whole.length + fraction.length
  // Below 1: "0.", zeros, digits. JavaScript writes no exponent between 1e-7 and 1e21, so its fraction never stays one.
  return sign.length + (power < 0 ? 1 - power + digits : power + 1)
}

import { randomUUID } from 'node:crypto'

const ID = randomUUID()
/**
 * The prefix of the JSON string that represents an `ExactNumber` until `restoreNumbers`. It is random, so no
 * text of a client begins with it.
 */
const MARK = `\u0001${ID}`
const MARKED = /"\\u0001([\da-f-]{36})([-+.\deE]+)"/g

/** The text of a JSON number whose value or notation a double would change. */
export class ExactNumber {
  constructor(readonly text: string) {}

  toJSON(): string {
    return MARK + this.text
  }
}

/** Replaces the strings of exact numbers by the numbers, in JSON of `JSON.stringify` or of a serializer. */
export const restoreNumbers = (json: string): string =>
  json.includes(ID)
    ? json.replace(MARKED, (text, id: string, number: string) => (id === ID ? number : text))
    : json

const MAX_DIGITS = 15
const MAX_INTEGER = 2n ** 53n
/** Approximately the smallest normal double. Smaller ones have fewer significant digits. */
const MIN_NORMAL = 2.3e-308

/** Returns the digits without leading and trailing zeros. */
function significant(digits: string): string {
  let start = 0
  let end = digits.length
  while (start < end && digits[start] === '0') start += 1
  while (end > start && digits[end - 1] === '0') end -= 1
  return digits.slice(start, end)
}

/**
 * Whether every program that parses the number as a double gets the same value: it has at most 15 significant
 * digits, or is an integer up to 2^53, and is within the range of a double.
 * @param text a number in JSON's notation
 */
export function isHeldByDouble(text: string): boolean {
  const [, whole = '', fraction = '', exponent] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? []
  const digits = significant(whole + fraction)
  if (digits === '') return true
  const size = Math.abs(Number(text))
  if (digits.length <= MAX_DIGITS) return Number.isFinite(size) && size >= MIN_NORMAL
  // 2^53 has 16 digits, so a longer text need not be parsed as a BigInt.
  const isInteger = exponent === undefined && significant(fraction) === ''
  return isInteger && digits.length <= 16 && whole.length <= 16 && BigInt(whole) <= MAX_INTEGER
}

/** The error message for a number that a double can't represent. */
export const INEXACT =
  'is a number that a double cannot represent: send it as text, ' +
  'or use at most 15 significant digits or an integer up to 2^53'

/** Max length of a number that an item may already have. PostgreSQL writes numbers without an exponent. */
const MAX_STORED_LENGTH = 1000

/** Whether an item may already have the number; only then may it be sent back. */
export const canBeStored = ({ text }: ExactNumber): boolean =>
  text.length <= MAX_STORED_LENGTH && !/e/i.test(text)

/** Returns the length of a number in PostgreSQL's notation, which has no exponent: `1e+21` has 22 digits. */
export function decimalLength(number: number): number {
  const text = String(number)
  const [, sign = '', whole = '', fraction = '', exponent] =
    /^(-?)(\d+)(?:\.(\d+))?e([-+]\d+)$/.exec(text) ?? []
  if (exponent === undefined) return text.length
  const power = Number(exponent)
  const digits = whole.length + fraction.length
  // Below 1, the number is written as "0.", zeros and the digits. Above, JavaScript writes an exponent only
  // from 1e21 on, and numbers of that size have no fraction.
  return sign.length + (power < 0 ? 1 - power + digits : power + 1)
}

import { parse as parseLossless } from 'lossless-json'
import sjson from 'secure-json-parse'
import { ExactNumber, isHeldByDouble, restoreNumbers } from './exact-number.js'

/** Max depth of nesting, above that of any body of the API: properties are at most 32 deep. */
const MAX_DEPTH = 40
/** Max number of values, above that of any body of the API: properties have at most 64 KiB. */
const MAX_VALUES = 40_000

/** Thrown for a text that is refused as JSON. The message says why. */
export class JsonError extends Error {
  override readonly name = 'JsonError'
}

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const isDigit = (code: number): boolean => code >= 48 && code <= 57

/** The result of scanning a JSON text without parsing it. */
interface Outline {
  /** The number of names in all objects, repeated ones included. */
  names: number
  /** The numbers that match the criterion of the scan. */
  numbers: string[]
}

/** Returns the index after the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes += 1
    if (backslashes % 2 === 0) return quote + 1
  }
  return text.length
}

const NUMBER = /[-+.\deE]+/y

/**
 * Scans a text before it is parsed, and enforces the limits.
 * @param isOdd selects the numbers that are returned
 * @throws {JsonError} beyond the limits
 */
function outline(text: string, isOdd: (number: string) => boolean): Outline {
  const numbers: string[] = []
  let names = 0
  let values = 0
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === QUOTE) index = endOfString(text, index) - 1
    else if (code === COLON) names += 1
    else if (code === COMMA) values += 1
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      values += 1
      depth += 1
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth -= 1
    else if (code === MINUS || isDigit(code)) {
      NUMBER.lastIndex = index
      const [number = ''] = NUMBER.exec(text) ?? []
      if (isOdd(number)) numbers.push(number)
      index += Math.max(1, number.length) - 1
    }
    if (depth > MAX_DEPTH) throw new JsonError(`is nested more than ${MAX_DEPTH} levels deep`)
    if (values > MAX_VALUES) throw new JsonError(`has more than ${MAX_VALUES} values`)
  }
  return { names, numbers }
}

/** Counts the names in a value. There are fewer than in its text if an object has a name twice. */
function countNames(value: unknown): number {
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) return 0
  let count = Array.isArray(value) ? 0 : Object.keys(value).length
  for (const inner of Object.values(value)) count += countNames(inner)
  return count
}

/** Characters below U+0300 are in NFC, and so are all of their combinations. */
const MAY_CHANGE = /[\u0300-\uffff]|\\u/

/**
 * Returns the value with its texts and names in NFC.
 * @throws {JsonError} if two names become the same
 */
function inNfc(value: unknown): unknown {
  if (typeof value === 'string') return value.normalize('NFC')
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) return value
  if (Array.isArray(value)) return value.map(inNfc)
  const members = Object.entries(value).map(([name, inner]) => [name.normalize('NFC'), inNfc(inner)] as const)
  const object = Object.fromEntries(members)
  if (Object.keys(object).length < members.length) throw new JsonError(TWICE)
  return object
}

const TWICE = 'has a duplicate name in an object; names are compared in Unicode NFC'

function parseNative(text: string): unknown {
  try {
    return sjson.parse(text)
  } catch (error) {
    throw new JsonError(
      error instanceof SyntaxError ? `is not valid JSON: ${error.message}` : 'is not valid JSON',
    )
  }
}

/**
 * Parses JSON of a client. Texts and names are brought into NFC; numbers that a double can't represent become
 * `ExactNumber`.
 * @throws {JsonError} for invalid JSON, and if it is nested too deeply, has too many values, or has a name
 * twice
 */
export function parseJson(input: string): unknown {
  const text = input.startsWith('\ufeff') ? input.slice(1) : input
  const { names, numbers } = outline(text, (number) => !isHeldByDouble(number))
  let value = parseNative(text)
  if (countNames(value) < names) throw new JsonError(TWICE)
  if (numbers.length > 0) {
    value = parseLossless(text, null, (number) =>
      isHeldByDouble(number) ? Number(number) : new ExactNumber(number),
    )
  }
  return MAY_CHANGE.test(text) ? inNfc(value) : value
}

const isWrittenOtherwise = (number: string): boolean => String(Number(number)) !== number

/** Parses stored JSON, which may have been written in SQL. Every number keeps its notation. */
export function parseStored(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (!/\d/.test(text) || !hasNumber(text, isWrittenOtherwise)) return value
  return parseLossless(text, null, (number) =>
    isWrittenOtherwise(number) ? new ExactNumber(number) : Number(number),
  )
}

/** Whether a JSON text has a number for which `isOdd` returns true. */
function hasNumber(text: string, isOdd: (number: string) => boolean): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === QUOTE) index = endOfString(text, index) - 1
    else if (code === MINUS || isDigit(code)) {
      NUMBER.lastIndex = index
      const [number = ''] = NUMBER.exec(text) ?? []
      if (isOdd(number)) return true
      index += Math.max(1, number.length) - 1
    }
  }
  return false
}

/** Serializes a value of `parseJson` or `parseStored` as JSON, with its numbers as they were. */
export const stringifyJson = (value: unknown): string => restoreNumbers(JSON.stringify(value))

/** A number within a value. */
export interface FoundNumber {
  /** Its path in the value: names and indexes from the outside in. */
  path: string[]
  text: string
}

/** Finds the numbers in a value that a double can't represent. */
export function findExactNumbers(value: unknown, path: string[] = []): FoundNumber[] {
  if (value instanceof ExactNumber) return [{ path, text: value.text }]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => findExactNumbers(inner, [...path, name]))
}

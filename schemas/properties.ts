import { Type } from '@sinclair/typebox'
import { ExactNumber, INEXACT, canBeStored, decimalLength, restoreNumbers } from '../lib/exact-number.js'
import { BOUNDS } from './bounds.js'

/** A JSON value. A number that a double would change is an `ExactNumber`. */
export type Json = string | number | ExactNumber | boolean | null | Json[] | { [name: string]: Json }

/** Maximum nesting of properties. */
const MAX_DEPTH = 32

/** A reason why a value can't be stored, and its path: names and indexes from the outermost object down. */
export interface Unstorable {
  path: string[]
  reason: string
}

/** Whether both PostgreSQL and JSON can represent the text: it has no NUL and no unpaired surrogate. */
export const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

function findIn(value: unknown, path: string[], depth: number): Unstorable | undefined {
  if (typeof value === 'string') {
    return isText(value) ? undefined : { path, reason: 'must not contain NUL or unpaired surrogates' }
  }
  // A number that a double would change is accepted only if the item already has it, which the store checks.
  if (value instanceof ExactNumber) return canBeStored(value) ? undefined : { path, reason: INEXACT }
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > MAX_DEPTH) return { path, reason: `must not be nested more than ${MAX_DEPTH} levels deep` }
  for (const [name, inner] of Object.entries(value)) {
    if (!isText(name)) return { path, reason: 'must not contain NUL or unpaired surrogates in a name' }
    if (name === '__proto__') return { path: [...path, name], reason: 'is not allowed as a name' }
    const found = findIn(inner, [...path, name], depth + 1)
    if (found) return found
  }
  return undefined
}

/** Returns how many characters longer the numbers get when they are written without an exponent. */
function countZeros(value: unknown): number {
  if (typeof value === 'number') return decimalLength(value) - String(value).length
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) return 0
  return Object.values(value).reduce((sum: number, inner) => sum + countZeros(inner), 0)
}

/** The length of properties as JSON, in bytes, with numbers as PostgreSQL prints them. */
function lengthOf(properties: unknown): number {
  const json = restoreNumbers(JSON.stringify(properties))
  return Buffer.byteLength(json) + (/\de[-+]\d/.test(json) ? countZeros(properties) : 0)
}

/** Returns the first reason why a JSON object can't be an item's properties; undefined if it can. */
export function findUnstorable(properties: unknown): Unstorable | undefined {
  const found = findIn(properties, [], 1)
  if (found) return found
  return lengthOf(properties) > BOUNDS.properties
    ? { path: [], reason: `must not be larger than ${BOUNDS.properties / 1024} KiB as JSON` }
    : undefined
}

/** The properties of an item: free-form JSON. `storable` is a custom keyword, checked by `findUnstorable`. */
export const Properties = Type.Unsafe<{ [name: string]: Json }>({
  type: 'object',
  additionalProperties: true,
  storable: true,
  description:
    `Any JSON object of at most ${BOUNDS.properties / 1024} KiB, counted without exponents in numbers, and ` +
    `at most ${MAX_DEPTH} levels deep.`,
})

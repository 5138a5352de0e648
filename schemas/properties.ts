import { Type } from '@sinclair/typebox'
import { ExactNumber, INEXACT, canBeStored, decimalLength, restoreNumbers } from '../lib/exact-number.js'
import { BOUNDS } from './bounds.js'

/** What JSON can hold. */
export type Json = string | number | ExactNumber | boolean | null | Json[] | { [name: string]: Json }

const MAX_DEPTH = 32

/** What a check finds: where (names and indexes from the object down) and why. */
export interface Unstorable {
  path: string[]
  reason: string
}

/** Text that PostgreSQL and JSON can both hold: no NUL and no half of a surrogate pair. */
export const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

function findIn(value: unknown, path: string[], depth: number): Unstorable | undefined {
  if (typeof value === 'string') {
    return isText(value) ? undefined : { path, reason: 'must not hold NUL or broken characters' }
  }
  // Any other is judged where it is known what the item has.
  if (value instanceof ExactNumber) return canBeStored(value) ? undefined : { path, reason: INEXACT }
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > MAX_DEPTH) return { path, reason: `must not be nested more than ${MAX_DEPTH} deep` }
  for (const [name, inner] of Object.entries(value)) {
    if (!isText(name)) return { path, reason: 'must not have NUL or broken characters in a name' }
    if (name === '__proto__') return { path: [...path, name], reason: 'is not allowed as a name' }
    const found = findIn(inner, [...path, name], depth + 1)
    if (found) return found
  }
  return undefined
}

/** By how much numbers with an exponent are longer when they are written out. */
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

/** The first thing that keeps a JSON object from being an item's properties; nothing when there is none. */
export function findUnstorable(properties: unknown): Unstorable | undefined {
  const found = findIn(properties, [], 1)
  if (found) return found
  return lengthOf(properties) > BOUNDS.properties
    ? { path: [], reason: `must not be larger than ${BOUNDS.properties / 1024} KiB as JSON` }
    : undefined
}

/** The free part of an item. `storable` is a keyword of our own: see `findUnstorable`. */
export const Properties = Type.Unsafe<{ [name: string]: Json }>({
  type: 'object',
  additionalProperties: true,
  storable: true,
  description: `Any JSON object of at most ${BOUNDS.properties / 1024} KiB, with numbers written out, at most ${MAX_DEPTH} deep.`,
})

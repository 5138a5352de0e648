import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** Where the next page begins; clients send back what they were given. */
export const Cursor = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,400}$',
  description: 'The `next_cursor` of the page before.',
})

export const NextCursor = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  description:
    'The `cursor` of the next page; null on the last one, and only there: a page may have fewer entries than `limit`.',
})

export const PageSize = Type.Integer({
  minimum: 1,
  maximum: 500,
  default: 50,
  description:
    'At most. A page ends earlier where its texts come to 1 MiB; `next_cursor` continues after it.',
})

export const encodeCursor = (place: unknown): string =>
  Buffer.from(JSON.stringify(place)).toString('base64url')

/** The place that a cursor names; nothing when it is not one of this kind. */
export function decodeCursor<Place extends TSchema>(kind: Place, cursor: string): Static<Place> | undefined {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Value.Check(kind, place) ? place : undefined
  } catch {
    return undefined
  }
}

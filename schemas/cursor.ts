import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** The cursor of a page of a list, as a request sends it. It is opaque to clients. */
export const Cursor = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,400}$',
  description: 'The `next_cursor` of the previous page.',
})

/** The cursor of the next page, as a response contains it. */
export const NextCursor = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  description:
    'The `cursor` of the next page; null only on the last page. A page may have fewer entries than `limit`.',
})

/** Maximum number of entries of a page. */
export const PageSize = Type.Integer({
  minimum: 1,
  maximum: 500,
  default: 50,
  description:
    'The maximum number of entries of a page. A page whose texts exceed 1 MiB ends earlier; `next_cursor` ' +
    'continues after it.',
})

/** Encodes a position in a list as a cursor. */
export const encodeCursor = (position: unknown): string =>
  Buffer.from(JSON.stringify(position)).toString('base64url')

/** Decodes a cursor to a position in a list. Returns undefined if it does not match the schema `kind`. */
export function decodeCursor<Schema extends TSchema>(
  schema: Schema,
  cursor: string,
): Static<Schema> | undefined {
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Value.Check(schema, position) ? position : undefined
  } catch {
    return undefined
  }
}

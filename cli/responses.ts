import { type Static, Type } from '@sinclair/typebox'

/**
 * Schemas of the responses that the command reads. They contain the fields that it needs; others are ignored.
 */

const Text = Type.String()

export const SignedIn = Type.Object({ token: Text, user: Type.Object({ username: Text, role: Text }) })

export const CreatedToken = Type.Object({ id: Text, name: Text, role: Text, expires_at: Text, token: Text })

export const Item = Type.Object({
  part_number: Text,
  item_type: Text,
  description: Text,
  long_description: Text,
  sourcing_type: Type.Union([Text, Type.Null()]),
  properties: Type.Record(Text, Type.Unknown()),
  revision: Type.Integer(),
  updated_at: Text,
  updated_by: Text,
})
export type Item = Static<typeof Item>

export const ItemPage = Type.Object({
  items: Type.Array(Item),
  next_cursor: Type.Union([Text, Type.Null()]),
})

export const ImportResult = Type.Object({
  created: Type.Integer(),
  updated: Type.Integer(),
  skipped: Type.Integer(),
  unchanged: Type.Integer(),
  errors: Type.Array(Type.Object({ row: Type.Integer(), field: Text, message: Text })),
})
export type ImportResult = Static<typeof ImportResult>

/** The data of an event of the feed. */
export const EventData = Type.Record(Text, Type.Unknown())

export const ErrorBody = Type.Object({
  error: Text,
  message: Text,
  details: Type.Array(Type.Object({ field: Text, message: Text })),
})
export type ErrorBody = Static<typeof ErrorBody>

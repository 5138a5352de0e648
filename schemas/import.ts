import { type Static, Type } from '@sinclair/typebox'
import { ErrorBody } from './errors.js'
import { Content, PartNumber } from './items.js'

/** The largest body, in bytes, and the most rows of one import; the most wrong rows that its answer names. */
export const MAX_BYTES = 64 * 1024 * 1024
export const MAX_ROWS = 200_000
export const MAX_ERRORS = 1000
/** The most that all rows together come to as JSON, in characters: a CSV file names a property once, each row again. */
export const MAX_JSON_LENGTH = 128 * 1024 * 1024

export const ImportQuery = Type.Object(
  {
    dry_run: Type.Boolean({ default: false, description: 'Answers what would happen, and writes nothing.' }),
    on_conflict: Type.Unsafe<'error' | 'skip' | 'update'>({
      type: 'string',
      enum: ['error', 'skip', 'update'],
      default: 'error',
      description:
        'What becomes of an item that exists and differs from its row. An update changes the fields that the row has; ' +
        '`properties` are merged into the existing ones. A row that equals its item is `unchanged` in any case.',
    }),
  },
  { additionalProperties: false },
)

/** One item of an import: what a row does not have stays, or is empty in a new item. */
export const ImportRow = Type.Object(
  { part_number: PartNumber, ...Content.properties },
  { additionalProperties: false },
)
export type ImportRow = Static<typeof ImportRow>

export const RowError = Type.Object({
  row: Type.Integer({
    description: '1 is the first row below the header, or the first line; empty lines do not count.',
  }),
  field: Type.String(),
  message: Type.String(),
})
export type RowError = Static<typeof RowError>

export const ImportResult = Type.Object({
  created: Type.Integer(),
  updated: Type.Integer(),
  skipped: Type.Integer(),
  unchanged: Type.Integer(),
  errors: Type.Array(RowError),
})
export type ImportResult = Static<typeof ImportResult>

export const ImportRejected = Type.Composite([ErrorBody, ImportResult])

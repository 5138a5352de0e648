import { type Static, Type } from '@sinclair/typebox'
import { ErrorBody } from './errors.js'
import { Content, PartNumber } from './items.js'

/** Maximum size of the body of an import, in bytes. */
export const MAX_BYTES = 64 * 1024 * 1024
/** Maximum number of rows of an import. */
export const MAX_ROWS = 200_000
/** Maximum number of errors in the response. */
export const MAX_ERRORS = 1000
/**
 * Maximum length of all rows as JSON, in characters. A CSV file can be much shorter: it names a property
 * once, the JSON in each row.
 */
export const MAX_JSON_LENGTH = 128 * 1024 * 1024

/** The query of `POST /api/items/import`. */
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

/** A row of an import. A field that it does not have stays unchanged, or is empty in a new item. */
export const ImportRow = Type.Object(
  { part_number: PartNumber, ...Content.properties },
  { additionalProperties: false },
)
export type ImportRow = Static<typeof ImportRow>

/** An error in a row of an import. */
export const RowError = Type.Object({
  row: Type.Integer({
    description: '1 is the first row below the header, or the first line; empty lines do not count.',
  }),
  field: Type.String(),
  message: Type.String(),
})
export type RowError = Static<typeof RowError>

/** The response of an import: the number of rows by outcome, and the errors. */
export const ImportResult = Type.Object({
  created: Type.Integer(),
  updated: Type.Integer(),
  skipped: Type.Integer(),
  unchanged: Type.Integer(),
  errors: Type.Array(RowError),
})
export type ImportResult = Static<typeof ImportResult>

/** The body of a refused import: the error, and the result with all counts 0. */
export const ImportRejected = Type.Composite([ErrorBody, ImportResult])

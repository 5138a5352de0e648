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
    dry_run: Type.Boolean({
      default: false,
      description: 'Whether to check the rows and report the outcome without writing.',
    }),
    on_conflict: Type.Unsafe<'error' | 'skip' | 'update'>({
      type: 'string',
      enum: ['error', 'skip', 'update'],
      default: 'error',
      description:
        'What to do with a row whose item exists with other values. `update` changes the fields that the ' +
        'row has, and merges `properties` into the existing ones. A row that equals its item always counts ' +
        'as `unchanged`.',
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
    description:
      'The number of the row. 1 is the first row after the header, or the first line of JSON; empty lines ' +
      'do not count.',
  }),
  field: Type.String({ description: 'The name or the path of the field; `row` for the row as a whole.' }),
  message: Type.String({ description: 'Why the value is refused.' }),
})
export type RowError = Static<typeof RowError>

/** The response of an import: the number of rows by outcome, and the errors. */
export const ImportResult = Type.Object({
  created: Type.Integer({ description: 'The number of items that were created.' }),
  updated: Type.Integer({ description: 'The number of items that were changed.' }),
  skipped: Type.Integer({
    description: 'The number of rows whose item has other values and was left as it is (`on_conflict=skip`).',
  }),
  unchanged: Type.Integer({ description: 'The number of rows that equal their item.' }),
  errors: Type.Array(RowError, {
    description: `The errors of the rows, at most ${MAX_ERRORS}; empty after an import that succeeded.`,
  }),
})
export type ImportResult = Static<typeof ImportResult>

/** The body of a refused import: the error, and the result with all counts 0. */
export const ImportRejected = Type.Composite([ErrorBody, ImportResult])

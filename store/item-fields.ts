import { INITIAL_CONTENT, ITEM_FIELDS, ITEM_FIELD_NAMES, type ItemField } from '../schemas/items.js'
import type { Sql } from './driver/connect.js'
import { printedLength } from './pages.js'

/** A field of an item that clients write, as the statements need it. */
export interface Field {
  name: ItemField
  /** The type of its column. */
  type: 'text' | 'jsonb'
  /** Whether null is a value of the field. */
  isNullable: boolean
  /** Whether its length counts towards the size of a page; false for a field with a fixed set of values. */
  isLong: boolean
  /** The SQL literal of its value in a new item where none is given. */
  initial: string
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

function describeField(name: ItemField): Field {
  const initial = INITIAL_CONTENT[name]
  const isJson = typeof initial === 'object' && initial !== null
  return {
    name,
    type: isJson ? 'jsonb' : 'text',
    isNullable: initial === null,
    isLong: !('enum' in ITEM_FIELDS[name]),
    initial: initial === null ? 'null' : quoted(isJson ? JSON.stringify(initial) : initial),
  }
}

/** The fields of an item that clients write, in the order of `ITEM_FIELDS`. */
export const FIELDS: readonly Field[] = ITEM_FIELD_NAMES.map(describeField)

/**
 * Makes a list with an element for each field, separated by commas. Returns a function that puts it into a
 * statement.
 * @param write returns the SQL of an element, of nothing but literals and the properties of the field
 */
export function eachField(write: (field: Field) => string) {
  const list = FIELDS.map(write).join(', ')
  return (sql: Sql) => sql.unsafe(list)
}

/** The fields as a list of columns. */
export const fieldColumns = eachField(({ name }) => name)

/** The fields as a list of column definitions, for `json_to_recordset`. */
export const fieldDefinitions = eachField(({ name, type }) => `${name} ${type}`)

/** Returns the size of the long fields of a row as JSON, in bytes. */
export const fieldsLength = (sql: Sql) =>
  FIELDS.filter(({ isLong }) => isLong)
    .map(({ name }) => printedLength(sql, sql`${sql(name)}`))
    .reduce((sum, length) => sql`${sum} + ${length}`)

import type { Item, ItemPlace } from '../schemas/items.js'
import type { Sql } from './connect.js'
import { type Filter, listItems, matching } from './items.js'

/** What is read at once, in rows and in bytes: enough to be quick, and little to keep for a client that does not read. */
const SLICE = 500
export const EXPORT_SLICE_BYTES = 256 * 1024

/** More names of properties than an export has columns, and longer ones than a person reads in a header. */
const MAX_NAMES = 1000
const MAX_NAME_LENGTH = 1000

/** Runs a query on a connection that it has until it is done. */
type Run = <T>(work: (sql: Sql) => Promise<T>) => Promise<T>

/** The names, in order, of the properties that are a text in some of the items that match; no more than an export has use for. */
export async function readTextProperties(sql: Sql, filter: Filter): Promise<string[]> {
  const names = await sql<{ name: string }[]>`
    select property.key as name
      from items, jsonb_each(properties) as property
     where ${matching(sql, filter)}
       and char_length(property.key) <= ${MAX_NAME_LENGTH}
     group by property.key
    having bool_or(jsonb_typeof(property.value) = 'string' and property.value <> '""')
     order by property.key
     limit ${MAX_NAMES}
  `
  return names.map(({ name }) => name)
}

/**
 * All items that match, in slices, by part number: it never changes, so each item comes once whatever happens meanwhile.
 * Each slice is a statement of its own. A database cursor would hold a session for as long as a client cares to read, and
 * the driver dies of a cursor whose session is killed (porsager/postgres#1208).
 */
export async function* exportItems(run: Run, filter: Filter): AsyncGenerator<Item[]> {
  let place: ItemPlace | undefined
  for (;;) {
    const from = place
    const { rows, hasNext } = await run((sql) =>
      listItems(sql, {
        ...filter,
        sort: 'part_number',
        limit: SLICE,
        bytes: EXPORT_SLICE_BYTES,
        place: from,
      }),
    )
    yield rows
    const last = rows.at(-1)
    if (!last || !hasNext) return
    place = { sort: 'part_number', part_number: last.part_number }
  }
}

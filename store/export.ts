import type { Item, ItemPosition } from '../schemas/items.js'
import type { Sql } from './driver/connect.js'
import { type Filter, listItems, matching } from './items.js'

/** Max rows of a slice. */
const SLICE = 500
/**
 * Max size of a slice, in bytes: large enough to be fast, and small enough to be held for a client that does
 * not read.
 */
export const EXPORT_SLICE_BYTES = 256 * 1024

/** Max property names that are read: more than an export has columns. */
const MAX_NAMES = 1000
/** Properties with longer names, in characters, get no column. */
const MAX_NAME_LENGTH = 1000

/** Runs `work` with a connection that is reserved for it until it settles. */
type Run = <T>(work: (sql: Sql) => Promise<T>) => Promise<T>

/**
 * Returns the sorted names of the properties that are a non-empty text in some of the matching items, within
 * the limits above.
 */
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
 * Reads all matching items in slices, by part number: it never changes, so each item occurs once even if
 * items change meanwhile. Each slice is a statement of its own. A database cursor would hold a connection for
 * as long as the client takes to read, and the driver fails when the connection of a cursor is killed
 * (porsager/postgres#1208 reports a similar failure of `sql.reserve()`).
 */
export async function* exportItems(run: Run, filter: Filter): AsyncGenerator<Item[]> {
  let position: ItemPosition | undefined
  for (;;) {
    const from = position
    const { rows, hasNext } = await run((sql) =>
      listItems(sql, {
        ...filter,
        sort: 'part_number',
        limit: SLICE,
        bytes: EXPORT_SLICE_BYTES,
        position: from,
      }),
    )
    yield rows
    const last = rows.at(-1)
    if (!last || !hasNext) return
    position = { sort: 'part_number', part_number: last.part_number }
  }
}

import type { PropertyUse } from '../schemas/export.js'
import type { Item, ItemPlace } from '../schemas/items.js'
import type { Sql } from './connect.js'
import { type Filter, listItems, matching } from './items.js'

/** What is read at once, in rows and in bytes: enough to be quick, and no more than a socket that is not read may keep. */
const BATCH = 500
const BATCH_BYTES = 256 * 1024

/** Runs a query on a connection that it has until it is done. */
type Run = <T>(work: (sql: Sql) => Promise<T>) => Promise<T>

/** The names of all properties among the items that match. */
export async function readPropertyUse(sql: Sql, filter: Filter): Promise<PropertyUse[]> {
  return sql<PropertyUse[]>`
    select property.key as name,
           bool_or(jsonb_typeof(property.value) = 'string' and property.value <> '""') as text
      from items, jsonb_each(properties) as property
     where ${matching(sql, filter)}
     group by property.key
     order by property.key
  `
}

/**
 * All items that match, in batches, by part number: it never changes, so each item comes once whatever happens meanwhile.
 * Each batch is a statement of its own. A database cursor would hold a session for as long as a client cares to read, and
 * the driver dies of a cursor whose session is killed (porsager/postgres#1208).
 */
export async function* exportItems(run: Run, filter: Filter): AsyncGenerator<Item[]> {
  let place: ItemPlace | undefined
  for (;;) {
    const from = place
    const { rows, hasNext } = await run((sql) =>
      listItems(sql, { ...filter, sort: 'part_number', limit: BATCH, bytes: BATCH_BYTES, place: from }),
    )
    yield rows
    const last = rows.at(-1)
    if (!last || !hasNext) return
    place = { sort: 'part_number', part_number: last.part_number }
  }
}

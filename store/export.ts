import type { ExportedItem } from '../schemas/export.js'
import type { Sort } from '../schemas/items.js'
import type { Sql } from './connect.js'
import { type Filter, columns, matching, order } from './items.js'

/** Rows fetched at once: enough to be quick, few enough to be forgotten soon. */
const BATCH = 500

/**
 * All items that match, in batches, as the table was when it began. Holds a session until it is read to its end or
 * `return()` is called; the next batch is fetched only when it is asked for.
 */
export function exportItems(sql: Sql, filter: Filter & { sort: Sort }): AsyncIterable<ExportedItem[]> {
  return sql<ExportedItem[]>`
    select ${columns(sql)},
           case when row_number() over (order by ${order(sql, filter.sort)}) = 1 then (
             select jsonb_agg(properties_in_use order by name)
               from (
                 select property.key as name,
                        bool_or(jsonb_typeof(property.value) = 'string' and property.value <> '""') as text,
                        bool_or(jsonb_typeof(property.value) <> 'string' or property.value = '""') as other
                   from items, jsonb_each(properties) as property
                  where ${matching(sql, filter)}
                  group by property.key
               ) as properties_in_use
           ) end as in_use
      from items
     where ${matching(sql, filter)}
     order by ${order(sql, filter.sort)}
  `.cursor(BATCH)
}

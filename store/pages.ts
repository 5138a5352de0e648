import type { PendingQuery, Row } from 'postgres'
import type { Sql } from './driver/connect.js'

/**
 * Default size of a page: it ends with the row that takes its texts, as JSON, to this size or beyond, in
 * bytes.
 */
export const PAGE_BYTES = 1024 * 1024

/** A page of a list. Its rows also have a column `has_next`, which the response schemas omit. */
export interface Page<Entry> {
  rows: Entry[]
  /** Whether there are rows after the last one. */
  hasNext: boolean
}

type Fragment = PendingQuery<Row[]>

/** A list that is read page by page. */
export interface List {
  /** Selects at most one row more than the page has, which shows whether there is another page. */
  found: Fragment
  /** The `order by` list. */
  order: Fragment
  /** The columns of the page. */
  columns: Fragment
  /** The size of a row's texts as JSON, in bytes; see `printedLength`. */
  length: Fragment
  /** Max rows of the page. */
  limit: number
  /** Max size of the page, in bytes. Defaults to `PAGE_BYTES`. */
  bytes?: number | undefined
}

/**
 * Returns the length of a column as JSON text, in bytes. The stored length would mislead: `1e300` is stored
 * in a few bytes and printed with 301 digits.
 */
export const printedLength = (sql: Sql, column: Fragment) => sql`octet_length(to_json(${column})::text)`

/**
 * Reads the first rows of a list: at most `limit`, and as many as `bytes` allows, but at least one. The size
 * is limited in the database, so that no more rows are transferred than are sent. It is computed for the rows
 * that the query returns, not for all that it searches.
 */
export async function readPage<Entry extends object>(
  sql: Sql,
  { found, order, columns, length, limit, bytes = PAGE_BYTES }: List,
): Promise<Page<Entry>> {
  const rows = await sql<(Entry & { has_next: boolean })[]>`
    select ${columns}, has_next
      from (
           select found.*,
                  row_number() over list as ordinal,
                  lead(true, 1, false) over list as has_next,
                  sum(${length}) over (list rows between unbounded preceding and 1 preceding) as before
             from (${found}) as found
           window list as (order by ${order})
           ) as measured
     where ordinal <= ${limit}
       and coalesce(before, 0) < ${bytes}
     order by ordinal
  `
  return { rows, hasNext: rows.at(-1)?.has_next === true }
}

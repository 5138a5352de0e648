import type { PendingQuery, Row } from 'postgres'
import type { Sql } from './connect.js'

/** A page ends with the row that takes its texts, as JSON, to this size or beyond, in bytes. */
export const PAGE_BYTES = 1024 * 1024

/** A part of a list. Its rows have a column `has_next` more, which no response shows. */
export interface Page<Entry> {
  rows: Entry[]
  /** Whether there are rows after the last one. */
  hasNext: boolean
}

type Fragment = PendingQuery<Row[]>

/** A list in its order. */
export interface List {
  /** A query of at most one row more than the page has, so that it shows whether there is another page. */
  found: Fragment
  order: Fragment
  /** The columns of the page. */
  columns: Fragment
  /** The length of a row's texts as they are printed, see `printedLength`. */
  length: Fragment
  limit: number
  /** Defaults to `PAGE_BYTES`. */
  bytes?: number | undefined
}

/** The length of a JSON column, or of a text in JSON, in bytes: as it is printed, for `1e300` is stored in a few. */
export const printedLength = (sql: Sql, column: Fragment) => sql`octet_length(to_json(${column})::text)`

/**
 * Reads the first rows of a list: at most `limit`, and as many as `bytes` lets through, but at least one. The size is judged in the
 * database, so that no more rows arrive than are sent, and on the rows that were found, not on all that were searched.
 */
export async function readPage<Entry extends object>(
  sql: Sql,
  { found, order, columns, length, limit, bytes = PAGE_BYTES }: List,
): Promise<Page<Entry>> {
  const rows = await sql<(Entry & { has_next: boolean })[]>`
    select ${columns}, has_next
      from (
           select found.*,
                  row_number() over list as place,
                  lead(true, 1, false) over list as has_next,
                  sum(${length}) over (list rows between unbounded preceding and 1 preceding) as before
             from (${found}) as found
           window list as (order by ${order})
           ) as measured
     where place <= ${limit}
       and coalesce(before, 0) < ${bytes}
     order by place
  `
  return { rows, hasNext: rows.at(-1)?.has_next === true }
}

import type { Revision } from '../schemas/revisions.js'
import type { Sql } from './driver/connect.js'
import { fieldColumns, fieldsLength } from './item-fields.js'
import { hasNumber } from './items.js'
import { type Page, printedLength, readPage } from './pages.js'

const columns = (sql: Sql) => sql`
  part_number, revision_number, ${fieldColumns(sql)}, comment, created_at, created_by
`

const revisionsOf = (sql: Sql, partNumber: string) => sql`
  select ${columns(sql)}
    from revisions
   where item_id = (select id from items where ${hasNumber(sql, partNumber)})
`

/** Returns the size of a revision's texts as JSON, in bytes. */
const length = (sql: Sql) => sql`
  ${fieldsLength(sql)} + coalesce(${printedLength(sql, sql`comment`)}, 0)
`

/**
 * Returns a page of the revisions of an item, archived or not, newest first: at most `limit` of those with a
 * smaller number than `before`.
 */
export async function listRevisions(
  sql: Sql,
  partNumber: string,
  { before, limit }: { before: number | undefined; limit: number },
): Promise<Page<Revision>> {
  const order = sql`revision_number desc`
  const found = sql`
    ${revisionsOf(sql, partNumber)}
      ${before === undefined ? sql`` : sql`and revision_number < ${before}`}
    order by ${order}
    limit ${limit + 1}
  `
  return readPage(sql, { found, order, columns: columns(sql), length: length(sql), limit })
}

/** Returns a revision of an item, archived or not; undefined if there is no such item or revision. */
export async function findRevision(
  sql: Sql,
  partNumber: string,
  revisionNumber: number,
): Promise<Revision | undefined> {
  const [revision] = await sql<Revision[]>`
    ${revisionsOf(sql, partNumber)} and revision_number = ${revisionNumber}
  `
  return revision
}

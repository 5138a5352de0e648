import type { Revision } from '../schemas/revisions.js'
import type { Sql } from './connect.js'

const revisionsOf = (sql: Sql, partNumber: string) => sql`
  select part_number, revision_number, item_type, description, long_description, sourcing_type,
         properties, comment, created_at, created_by
    from revisions
   where item_id = (select id from items where lower(part_number) = lower(${partNumber} collate "C"))
`

/** At most `limit` revisions of an item, archived or not, the newest first; those below `before` if that is given. */
export async function listRevisions(
  sql: Sql,
  partNumber: string,
  { before, limit }: { before: number | undefined; limit: number },
): Promise<Revision[]> {
  return sql<Revision[]>`
    ${revisionsOf(sql, partNumber)}
      ${before === undefined ? sql`` : sql`and revision_number < ${before}`}
    order by revision_number desc
    limit ${limit}
  `
}

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

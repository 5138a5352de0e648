import type { Revision } from '../schemas/revisions.js'
import type { Sql } from './connect.js'

const revisionsOf = (sql: Sql, partNumber: string) => sql`
  select r.part_number, r.revision_number, r.item_type, r.description, r.long_description, r.sourcing_type,
         r.properties, r.comment, r.created_at, r.created_by
    from revisions r
    join items i on i.id = r.item_id
   where lower(i.part_number) = lower(${partNumber} collate "C")
`

/** At most `limit` revisions of an item, archived or not, the newest first; those below `before` if that is given. */
export async function listRevisions(
  sql: Sql,
  partNumber: string,
  { before, limit }: { before: number | undefined; limit: number },
): Promise<Revision[]> {
  return sql<Revision[]>`
    ${revisionsOf(sql, partNumber)}
      ${before === undefined ? sql`` : sql`and r.revision_number < ${before}`}
    order by r.revision_number desc
    limit ${limit}
  `
}

export async function findRevision(
  sql: Sql,
  partNumber: string,
  revisionNumber: number,
): Promise<Revision | undefined> {
  const [revision] = await sql<Revision[]>`
    ${revisionsOf(sql, partNumber)} and r.revision_number = ${revisionNumber}
  `
  return revision
}

import type { Sql } from './connect.js'

/** Who makes a change, and what they say about it. */
export interface Author {
  actor: string
  comment?: string | null | undefined
}

/**
 * The CTE `context`, which names the author to the triggers for the statement it stands in and for nothing after it. The
 * statement must read its rows from a join with `context`: only so is it evaluated before the first row is written.
 */
export const context = (sql: Sql, { actor, comment }: Author) => sql`
  context as materialized (
    select set_config('silo.actor', ${actor}, true),
           set_config('silo.comment', ${comment ?? ''}, true),
           set_config('silo.writer', 'api', true)
  )
`

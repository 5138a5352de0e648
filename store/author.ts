import type { Sql } from './connect.js'

/** Who makes a change, and what they say about it. */
export interface Author {
  actor: string
  comment?: string | null | undefined
}

/**
 * For how long a write waits for a lock that somebody holds, in ms: less than half of what its request has, because a row takes two
 * waits, one to be next and one for who has it. Without an end, the sessions that wait for somebody who forgot to commit would
 * become more and more, until none is left.
 */
const PATIENCE_MS = 7000

/**
 * The CTE `context`, which names the author to the triggers for the statement it stands in and for nothing after it. The
 * statement must read its rows from a join with `context`: only so is it evaluated before the first row is written.
 * @param patienceMs for how long the statement waits for a lock
 */
export const context = (sql: Sql, { actor, comment }: Author, patienceMs = PATIENCE_MS) => sql`
  context as materialized (
    select set_config('silo.actor', ${actor}, true),
           set_config('silo.comment', ${comment ?? ''}, true),
           set_config('silo.writer', 'api', true),
           set_config('lock_timeout', ${String(patienceMs)}, true)
  )
`

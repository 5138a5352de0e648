import postgres from 'postgres'
import { ApiError, type ErrorCode } from '../errors.js'
import type { Role } from '../schemas/auth.js'
import type { Sql } from './connect.js'

/** A row of `tokens`: by which credential a request came. */
export interface Credential {
  token_id: string
}

/** Who makes a change to items, by which credential, and what they say about it. */
export interface Author extends Credential {
  comment?: string | null | undefined
}

/** The role that a change to items needs. */
const AUTHOR_ROLE: Role = 'editor'

/**
 * For how long a write waits for a lock that somebody holds, in ms: less than half of what its request has, because a row takes two
 * waits, one to be next and one for who has it. Without an end, the sessions that wait for somebody who forgot to commit would
 * become more and more, until none is left.
 */
const PATIENCE_MS = 7000

/** The SQLSTATEs with which the database refuses what a credential wants (migrations 006 and 016), and the API's errors for them. */
const RIGHT_ERRORS: Record<string, ErrorCode> = {
  SL401: 'unauthenticated',
  SL403: 'forbidden',
  SL409: 'too_many_tokens',
}

/** The API's error for a statement that the database has refused to its credential; nothing for any other error. */
export function rightError(error: unknown): ApiError | undefined {
  if (!(error instanceof postgres.PostgresError)) return undefined
  const code = RIGHT_ERRORS[error.code]
  return code && new ApiError(code)
}

/**
 * The CTE `context`, which checks that the credential may write items and names its user to the triggers, for the statement it
 * stands in and for nothing after it. The statement must read its rows from a join with `context`: only so is it evaluated
 * before the first row is written. It ends the statement where the right is missing; the commit checks it once more.
 * @param patienceMs for how long the statement waits for a lock
 */
export const context = (sql: Sql, { token_id, comment }: Author, patienceMs = PATIENCE_MS) => sql`
  context as materialized (
    select case when holder.username is null then refuse_right(${token_id})::text
                else set_config('silo.actor', holder.username, true)
           end,
           set_config('silo.comment', ${comment ?? ''}, true),
           set_config('silo.writer', 'api', true),
           set_config('silo.token', ${token_id}::text, true),
           set_config('silo.role', ${AUTHOR_ROLE}, true),
           set_config('silo.checked', '0', true),
           set_config('lock_timeout', ${String(patienceMs)}, true)
      from (values (true)) as one
      left join (
           select u.username
             from tokens t
             join users u on u.id = t.user_id
            where t.id = ${token_id}
              and t.revoked_at is null
              and t.expires_at > clock_timestamp()
              and u.active
              and role_rank(${AUTHOR_ROLE}) <= least(role_rank(t.role), role_rank(u.role))
           ) holder on true
  )
`

/**
 * CTEs for a statement that changes users, tokens or settings, the last of them `author`: one row (token_id, user_id, kind) of a
 * credential that has this role here and now. Nobody can take the right away before the commit: the person is locked, then the
 * credential, the order in which a revocation takes them. The statement must have `hasRight` among its conditions.
 * @param person selects the `id` and `role` of the active user behind the credential, locked; without, that one's row
 */
export const author = (
  sql: Sql,
  { token_id }: Credential,
  role: Role,
  person = sql`
    select id, role
      from users
     where id = (select user_id from tokens where id = ${token_id})
       and active
       for no key update
  `,
) => sql`
  person as materialized (${person}),
  credential as materialized (
    select t.id, t.user_id, t.kind
      from person
      join tokens t on t.user_id = person.id
     where t.id = ${token_id}
       and t.revoked_at is null
       and t.expires_at > clock_timestamp()
       and role_rank(${role}) <= least(role_rank(t.role), role_rank(person.role))
       for no key update of t
  ),
  author as materialized (
    select coalesce(c.id, refuse_right(${token_id})) as token_id, c.user_id, c.kind
      from (values (true)) as one
      left join credential c on true
  )
`

/**
 * The condition that ends a statement with the CTE `context` or `author` where the right is missing, before it has looked at a row.
 * A join alone would be evaluated only once another table has given it a row.
 */
export const hasRight = (sql: Sql, of: 'context' | 'author') => sql`(select count(*) = 1 from ${sql(of)})`

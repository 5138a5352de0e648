import postgres from 'postgres'
import { ApiError, type ErrorCode } from '../errors.js'
import type { Role } from '../schemas/auth.js'
import type { Sql } from './driver/connect.js'

/** Identifies the credential of a request. */
export interface Credential {
  /** The id of its row in `tokens`. */
  token_id: string
}

/** The author of a change to items: the credential, and the comment for the revision. */
export interface Author extends Credential {
  comment?: string | null | undefined
}

/** The role that a change to items requires. */
const AUTHOR_ROLE: Role = 'editor'

/**
 * How long a write waits for a lock, in ms. A row lock can be waited for twice, once for the first position
 * in its queue and once for its holder, so this is less than half of the request timeout. Without a timeout,
 * writes that wait for an idle transaction would occupy one connection after another until the pool has none
 * left.
 */
const LOCK_TIMEOUT_MS = 7000

/**
 * The API's error codes by the SQLSTATE with which the database refuses a credential (`refuse_right` and
 * `tokens_before_insert` in migrations/001-schema.sql).
 */
const RIGHT_ERRORS: Record<string, ErrorCode> = {
  SL401: 'unauthenticated',
  SL403: 'forbidden',
  SL409: 'too_many_tokens',
}

/**
 * Returns the API error for a statement that the database refused because of its credential; undefined for
 * any other error.
 */
export function rightError(error: unknown): ApiError | undefined {
  if (!(error instanceof postgres.PostgresError)) return undefined
  const code = RIGHT_ERRORS[error.code]
  return code && new ApiError(code)
}

/**
 * Returns the CTE `context`. It checks that the credential may write items, and sets what the triggers read:
 * the acting user, the comment and the credential, and the lock timeout. The settings are local to the
 * transaction of the statement. The statement must join `context` to the rows that it writes: only then is
 * the CTE evaluated before the first write. Without the right it ends the statement with SQLSTATE SL401 or
 * SL403. The trigger `items_check_right` checks again at the commit (docs/decisions/0031).
 * @param lockTimeoutMs how long the statement waits for a lock
 */
export const context = (sql: Sql, { token_id, comment }: Author, lockTimeoutMs = LOCK_TIMEOUT_MS) => sql`
  context as materialized (
    select case when holder.username is null then refuse_right(${token_id})::text
                else set_config('silo.actor', holder.username, true)
           end,
           set_config('silo.comment', ${comment ?? ''}, true),
           set_config('silo.writer', 'api', true),
           set_config('silo.token', ${token_id}::text, true),
           set_config('silo.role', ${AUTHOR_ROLE}, true),
           set_config('silo.checked', '0', true),
           set_config('lock_timeout', ${String(lockTimeoutMs)}, true)
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
 * Returns the CTEs of a statement that changes users, tokens or settings. The last one, `author`, has one row
 * (token_id, user_id, kind) if the credential has the role; otherwise it ends the statement with SQLSTATE
 * SL401 or SL403. It locks the user, then the token, in the order in which a revocation locks them, so the
 * right can't be revoked before the commit (docs/decisions/0031). A statement whose other tables may yield no
 * row must have `hasRight` among its conditions.
 * @param person selects the `id` and `role` of the credential's active user and locks the row; by default
 * from `users`
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
 * Returns a condition that evaluates the CTE `context` or `author` before any row is read, and so ends the
 * statement if the right is missing. A join alone would evaluate the CTE only after another table has yielded
 * a row.
 */
export const hasRight = (sql: Sql, of: 'context' | 'author') => sql`(select count(*) = 1 from ${sql(of)})`

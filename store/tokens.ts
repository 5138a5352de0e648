import type { Role, Token, TokenPosition } from '../schemas/auth.js'
import { type Credential, author, hasRight } from './author.js'
import type { Sql } from './driver/connect.js'
import type { StoredCredentials } from './users.js'

/** Lifetime of a session, in seconds. */
const SESSION_SECONDS = 12 * 60 * 60

/** A valid credential and its user. */
export interface Principal extends Credential {
  user_id: string
  username: string
  display_name: string
  /** The lower of the roles of the token and of its user. */
  role: Role
  expires_at: Date
  /** A session is created by signing in with a password. */
  kind: 'session' | 'api'
}

const principal = (sql: Sql) => sql`
  select t.id as token_id, u.id as user_id, u.username, u.display_name, t.expires_at, t.kind,
         case when 'viewer' in (t.role, u.role) then 'viewer'
              when 'editor' in (t.role, u.role) then 'editor'
              else 'admin'
         end as role
    from tokens t
    join users u on u.id = t.user_id
   where t.revoked_at is null
     and t.expires_at > now()
     and u.active
`

type PrincipalRow = Principal | { token_id: null }

const isFound = (row: PrincipalRow): row is Principal => row.token_id !== null
const toPrincipals = (rows: PrincipalRow[]) => rows.map((row) => (isFound(row) ? row : undefined))

/**
 * Finds API tokens and their users by the SHA-256 of the tokens' secrets, in hexadecimal.
 * @returns an entry for each hash, in the same order; undefined if no valid token has it
 */
export async function findPrincipalsByHash(
  sql: Sql,
  hashes: readonly string[],
): Promise<(Principal | undefined)[]> {
  return toPrincipals(
    await sql<PrincipalRow[]>`
      select p.*
        from unnest(${hashes}::text[]) with ordinality as requested (hash, ordinal)
        left join lateral (
             ${principal(sql)} and t.kind = 'api' and t.hash = decode(requested.hash, 'hex')
             ) p on true
       order by ordinal
    `,
  )
}

/**
 * Finds sessions and their users by the ids in their JWTs.
 * @returns an entry for each id, in the same order; undefined if no valid session has it
 */
export async function findPrincipalsBySession(
  sql: Sql,
  ids: readonly string[],
): Promise<(Principal | undefined)[]> {
  return toPrincipals(
    await sql<PrincipalRow[]>`
      select p.*
        from unnest(${ids}::uuid[]) with ordinality as requested (id, ordinal)
        left join lateral (
             ${principal(sql)} and t.kind = 'session' and t.id = requested.id
             ) p on true
       order by ordinal
    `,
  )
}

/** Returns those of the credentials that are still valid, with their current roles. */
export async function findPrincipals(sql: Sql, ids: string[]): Promise<Principal[]> {
  return sql<Principal[]>`${principal(sql)} and t.id = any(${ids}::uuid[])`
}

/**
 * Creates a session for the user whose password was verified, and deletes the user's ended sessions. The role
 * of a session is always the current role of its user.
 * @returns undefined if the user was disabled, or the password changed, while it was being verified
 */
export async function createSession(sql: Sql, verified: StoredCredentials): Promise<Principal | undefined> {
  const [started] = await sql<Principal[]>`
    with person as (
      select id, username, display_name, role
        from users
       where id = ${verified.id}
         and password_hash = ${verified.password_hash}
         and active
         for share
    ),
    ended as (
      delete from tokens t
       using person p
       where t.user_id = p.id
         and t.kind = 'session'
         and (t.expires_at < now() or t.revoked_at is not null)
    ),
    session as (
      insert into tokens (user_id, kind, name, role, expires_at)
      select id, 'session', 'session', 'admin', now() + make_interval(secs => ${SESSION_SECONDS})
        from person
      returning id, expires_at
    )
    select s.id as token_id, p.id as user_id, p.username, p.display_name, p.role, s.expires_at,
           'session' as kind
      from session s
     cross join person p
  `
  return started
}

/** Revokes a session; does nothing if it has been revoked. */
export async function revokeSession(sql: Sql, id: string): Promise<void> {
  await sql`
    update tokens
       set revoked_at = now()
     where id = ${id}
       and kind = 'session'
       and revoked_at is null
  `
}

const columns = (sql: Sql) => sql`id, name, role, created_at, expires_at, last_used_at`

/**
 * Creates an API token. The credential that creates it must still be valid: one that another instance has
 * just revoked can't create a token. The token is revoked with that credential and expires no later,
 * unless a session creates it with `keep` (docs/decisions/0032). Also deletes the user's ended tokens.
 * @throws {PostgresError} SQLSTATE SL401 or SL403 when `by` lacks the role, SL409 when the user has too many
 * tokens
 */
export async function createToken(
  sql: Sql,
  by: Credential,
  token: { name: string; role: Role; expires_in_days: number; keep: boolean; hash: Buffer },
): Promise<Token> {
  const [created] = await sql<Token[]>`
    with ${author(sql, by, token.role)},
    ended as (
      delete from tokens t
       using author
       where t.user_id = author.user_id
         and t.kind = 'api'
         and (t.expires_at < now() or t.revoked_at is not null)
    )
    insert into tokens (user_id, kind, name, role, hash, expires_at, parent_id)
    select user_id, 'api', ${token.name}, ${token.role}, ${token.hash},
           now() + make_interval(days => ${token.expires_in_days}),
           case when ${token.keep} and kind = 'session' then null else token_id end
      from author
    returning ${columns(sql)}
  `
  if (!created) throw new Error('an insert returned no row')
  return created
}

/**
 * Selects the ids of a credential and of its descendants: the tokens that it has created, those that these
 * have created, and so on.
 */
const descent = (sql: Sql, { token_id }: Credential) => sql`
  with recursive descent (id) as (
    select ${token_id}::uuid
     union
    select child.id
      from descent
      join tokens child on child.parent_id = descent.id
  )
  select id from descent
`

/**
 * Returns the API tokens that a credential manages and that were not revoked, newest first: at most `limit`
 * of those after `position`. A session manages all tokens of its user, an API token itself and its
 * descendants.
 */
export async function listTokens(
  sql: Sql,
  by: Principal,
  { limit, position }: { limit: number; position: TokenPosition | undefined },
): Promise<Token[]> {
  return sql<Token[]>`
    select ${columns(sql)}
      from tokens
     where user_id = ${by.user_id}
       and kind = 'api'
       and revoked_at is null
       ${by.kind === 'session' ? sql`` : sql`and id in (${descent(sql, by)})`}
       ${position ? sql`and (created_at, id) < (${new Date(position.at)}, ${position.id})` : sql``}
     order by created_at desc, id desc
     limit ${limit}
  `
}

/**
 * Revokes an API token that the credential manages; a trigger revokes its descendants.
 * @returns whether there was such a token
 */
export async function revokeToken(sql: Sql, by: Credential, id: string): Promise<boolean> {
  const { count } = await sql`
    with ${author(sql, by, 'viewer')}
    update tokens t
       set revoked_at = clock_timestamp()
      from author
     where t.id = ${id}
       and t.user_id = author.user_id
       and t.kind = 'api'
       and t.revoked_at is null
       and (author.kind = 'session' or t.id in (${descent(sql, by)}))
       and ${hasRight(sql, 'author')}
  `
  return count > 0
}

/**
 * Updates the time of last use of tokens, at most once a minute for each, whatever the number of instances.
 * Rows that another instance is updating are skipped: otherwise the two would wait for each other's rows.
 */
export async function noteUses(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql`
    with due as (
      select id
        from tokens
       where id = any(${ids}::uuid[])
         and (last_used_at is null or last_used_at < now() - interval '1 minute')
         for no key update skip locked
    )
    update tokens
       set last_used_at = now()
      from due
     where tokens.id = due.id
  `
}

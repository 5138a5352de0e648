import { createHash, randomBytes } from 'node:crypto'
import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/driver/connect.js'

/** An API token of a user who has no password. */
export interface ApiToken {
  id: string
  username: string
  /** The token as clients send it. */
  secret: string
}

const randomSecret = (): string => `silo_${randomBytes(32).toString('base64url')}`

/** Returns the same API token at every call, so that a recorded request is accepted in a later run, too. */
export const secretOf = (username: string): string =>
  `silo_${createHash('sha256').update(`token of ${username}`).digest('base64url')}`

/**
 * Creates an API token for each of these users in the database, because there is no user who could do it by
 * the API. A user who does not exist is created; one who does gets the role. The tokens are valid for a day,
 * which is longer than any jump of an instance's clock.
 * @param makeSecret returns the token of a username; random by default
 */
export async function createTokens(
  sql: Sql,
  role: Role,
  usernames: readonly string[],
  makeSecret: (username: string) => string = randomSecret,
): Promise<[ApiToken, ...ApiToken[]]> {
  const secrets = usernames.map(makeSecret)
  const hashes = secrets.map((secret) => createHash('sha256').update(secret).digest('hex'))
  const rows = await sql<{ id: string; hash: string }[]>`
    with wanted as (
      select username, decode(hash, 'hex') as hash
        from unnest(${[...usernames]}::text[], ${hashes}::text[]) as wanted (username, hash)
    ),
    people as (
      insert into users (username, display_name, role, password_hash)
      select username, username, ${role}, 'none'
        from wanted
      on conflict ((lower(username))) do update set role = excluded.role
      returning id, username
    )
    insert into tokens (user_id, kind, name, role, hash, expires_at)
    select people.id, 'api', wanted.username, ${role}, wanted.hash, now() + interval '1 day'
      from people
      join wanted on lower(wanted.username) = lower(people.username)
    returning id, encode(hash, 'hex') as hash
  `
  const ids = new Map(rows.map(({ id, hash }) => [hash, id]))
  const [first, ...more] = usernames.map((username, i): ApiToken => {
    const [id, secret] = [ids.get(hashes[i] ?? ''), secrets[i]]
    if (id === undefined || secret === undefined) throw new Error(`no token was created for ${username}`)
    return { id, username, secret }
  })
  if (!first) throw new Error('no username was given')
  return [first, ...more]
}

/** Creates an API token in the database. Without a username, it belongs to a new user. */
export async function createToken(
  sql: Sql,
  role: Role,
  username = `${role}-${randomBytes(4).toString('hex')}`,
  makeSecret: (username: string) => string = randomSecret,
): Promise<ApiToken> {
  const [token] = await createTokens(sql, role, [username], makeSecret)
  return token
}

import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/driver/connect.js'
import { hashPassword } from '../../store/passwords.js'
import { addUser } from '../../store/users.js'
import { createToken, secretOf } from '../harness/tokens.js'

/** A user with an API token. */
export interface Inhabitant {
  username: string
  credential: string
  tokenId: string
}

/** The user that signs in with a password during a run. */
export const GUEST = { username: 'fuzz-guest', password: 'correct horse battery staple' }

/** Creates a user, and an API token that is the same in every run. */
export async function settle(sql: Sql, username: string, role: Role): Promise<Inhabitant> {
  const { id, secret } = await createToken(sql, role, username, secretOf)
  return { username, credential: `Bearer ${secret}`, tokenId: id }
}

/** Creates `count` children of the user's API token, for requests that revoke a token. Returns their ids. */
export async function giveTokens(sql: Sql, { tokenId }: Inhabitant, count: number): Promise<string[]> {
  const tokens = await sql<{ id: string }[]>`
    insert into tokens (user_id, parent_id, kind, name, role, hash, expires_at)
    select user_id, id, 'api', 'fuzz', 'viewer', sha256(convert_to('fuzz ' || number, 'UTF8')), expires_at
      from tokens, generate_series(1, ${count}::integer) as number
     where id = ${tokenId}
    returning id
  `
  return tokens.map(({ id }) => id)
}

/** Creates the user that signs in with a password. */
export async function settleGuest(sql: Sql): Promise<void> {
  const password_hash = await hashPassword(GUEST.password)
  await addUser(sql, { username: GUEST.username, display_name: 'Guest', role: 'viewer', password_hash })
}

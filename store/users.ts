import { randomBytes } from 'node:crypto'
import type { Sql } from './connect.js'

/** A placeholder until the sign-in's own store is merged. */
export async function createFirstAdmin(
  sql: Sql,
  username: string,
  password = randomBytes(12).toString('base64url'),
): Promise<{ username: string; password: string } | undefined> {
  const [created] = await sql<{ username: string }[]>`
    insert into users (username, display_name, role, password_hash)
    select ${username}, ${username}, 'admin', 'none'
     where not exists (select from users)
    returning username
  `
  return created && { username: created.username, password }
}

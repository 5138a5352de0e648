import { scryptSync } from 'node:crypto'
import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Role } from '../../schemas/auth.js'
import type { Author } from '../../store/author.js'
import type { Sql } from '../../store/driver/connect.js'
import { addUser } from '../../store/users.js'

export const PASSWORD = 'correct horse battery staple'

/** A cheap hash, whose parameters are in the hash itself: most tests are not about the cost of hashing. */
const KEY = scryptSync(PASSWORD, Buffer.alloc(16), 32, { N: 16, r: 8, p: 1 }).toString('base64').slice(0, -1)
const PASSWORD_HASH = `$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$${KEY}`

/** Creates a user who can sign in with `PASSWORD`. */
export async function createPerson(sql: Sql, username: string, role: Role): Promise<void> {
  await addUser(sql, { username, display_name: username, role, password_hash: PASSWORD_HASH })
}

export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

/** Signs in by JSON and returns the response. */
export function login(
  app: FastifyInstance,
  username: string,
  password = PASSWORD,
  options: InjectOptions = {},
) {
  return app.inject({ method: 'POST', url: '/api/auth/login', payload: { username, password }, ...options })
}

/** Signs in and returns the session's JWT. */
export async function sessionOf(app: FastifyInstance, username: string): Promise<string> {
  const res = await login(app, username)
  return res.json<{ token: string }>().token
}

/**
 * Creates a session in the database, and its user if there is none.
 * @returns the author with which the store writes as this user
 */
export async function authorOf(
  sql: Sql,
  username: string,
  { role = 'editor', comment }: { role?: Role; comment?: string } = {},
): Promise<Author> {
  await createPerson(sql, username, role)
  const [session] = await sql<{ token_id: string }[]>`
    insert into tokens (user_id, kind, name, role, expires_at)
    select id, 'session', 'session', 'admin', now() + interval '1 hour'
      from users
     where lower(username) = lower(${username})
    returning id as token_id
  `
  if (!session) throw new Error(`there is no user ${username}`)
  return { ...session, comment }
}

import type { Role } from '../schemas/auth.js'
import type { Sql } from './connect.js'

/** A live credential and the person behind it, with the role that is left of both. */
export interface Principal {
  token_id: string
  user_id: string
  username: string
  display_name: string
  role: Role
  expires_at: Date
}

const principal = (sql: Sql) => sql`
  select t.id as token_id, u.id as user_id, u.username, u.display_name, t.expires_at,
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

/** Who an API token belongs to, by the SHA-256 of its secret. */
export async function findPrincipalByHash(sql: Sql, hash: Buffer): Promise<Principal | undefined> {
  const [found] = await sql<Principal[]>`${principal(sql)} and t.kind = 'api' and t.hash = ${hash}`
  return found
}

/** Who a session belongs to, by the id that its JWT carries. */
export async function findPrincipalBySession(sql: Sql, id: string): Promise<Principal | undefined> {
  const [found] = await sql<Principal[]>`${principal(sql)} and t.kind = 'session' and t.id = ${id}`
  return found
}

/** Those of the given credentials that still hold, with their present roles. */
export async function findPrincipals(sql: Sql, ids: string[]): Promise<Principal[]> {
  return sql<Principal[]>`${principal(sql)} and t.id = any(${ids}::uuid[])`
}

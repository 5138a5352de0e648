import { randomBytes } from 'node:crypto'
import type { Role } from '../schemas/auth.js'
import type { User } from '../schemas/users.js'
import { type Credential, author, hasRight } from './author.js'
import type { Sql } from './driver/connect.js'
import { hashPassword } from './passwords.js'

const columns = (sql: Sql) => sql`id, username, display_name, role, active, created_at`

/** What a sign-in is verified against. */
export interface StoredCredentials {
  id: string
  password_hash: string
}

/** The result of a change: the user as it is now, or why nothing was changed. */
export type UserChange = { user: User } | { refused: 'user_not_found' | 'last_admin' }

/**
 * Finds the credentials of an active user, regardless of the case of ASCII letters; undefined if there is no
 * such user. By Unicode's case rules "admİn" would match "admin", and every such spelling would count as
 * another name for the limit on sign-ins.
 */
export async function findCredentials(sql: Sql, username: string): Promise<StoredCredentials | undefined> {
  const [found] = await sql<StoredCredentials[]>`
    select id, password_hash
      from users
     where lower(username) = lower(${username}::text collate "C") collate "default"
       and active
  `
  return found
}

/** Returns all users, by username. */
export async function listUsers(sql: Sql): Promise<User[]> {
  return sql<User[]>`
    select ${columns(sql)}
      from users
     order by lower(username)
  `
}

/** A user to be created. `password_hash` is a result of `hashPassword`. */
export interface NewUser {
  username: string
  display_name: string
  role: Role
  password_hash: string
}

/**
 * Creates a user without checking a right: for the first start, when there is no user yet.
 * @returns undefined when the name is taken, in whatever case
 */
export async function addUser(sql: Sql, user: NewUser): Promise<User | undefined> {
  const { username, display_name, role, password_hash } = user
  const [created] = await sql<User[]>`
    insert into users ${sql({ username, display_name, role, password_hash })}
        on conflict ((lower(username))) do nothing
    returning ${columns(sql)}
  `
  return created
}

/**
 * Selects the active admins and locks them, always in the same order. Of two changes that would each leave
 * only the other's admin, the second one waits, and sees the result of the first.
 */
const lockedAdmins = (sql: Sql) => sql`
  select id
    from users
   where role = 'admin'
     and active
   order by id
     for update
`

/** Returns the CTEs `admins`, which locks all active admins, and `author`, whose user must be one of them. */
const adminAuthor = (sql: Sql, by: Credential) => sql`
  admins as materialized (${lockedAdmins(sql)}),
  ${author(
    sql,
    by,
    'admin',
    sql`
      select id, 'admin' as role
        from admins
       where id = (select user_id from tokens where id = ${by.token_id})
    `,
  )}
`

/**
 * Creates a user.
 * @returns undefined when the name is taken, in whatever case
 * @throws {PostgresError} SQLSTATE SL401 or SL403 when `by` is not the valid credential of an admin; so do
 * the other functions that take one
 */
export async function createUser(sql: Sql, by: Credential, user: NewUser): Promise<User | undefined> {
  const { username, display_name, role, password_hash } = user
  const [created] = await sql<User[]>`
    with ${adminAuthor(sql, by)}
    insert into users (username, display_name, role, password_hash)
    select ${username}, ${display_name}, ${role}, ${password_hash}
      from author
        on conflict ((lower(username))) do nothing
    returning ${columns(sql)}
  `
  return created
}

/**
 * Changes the given fields. A new password, or `active: false`, ends every session and token of the user (a
 * trigger does that). With `keep_tokens`, a new password leaves the API tokens that don't descend from a
 * session.
 */
export async function updateUser(
  sql: Sql,
  by: Credential,
  username: string,
  changes: {
    role?: Role
    display_name?: string
    active?: boolean
    password_hash?: string
    keep_tokens?: boolean
  },
): Promise<UserChange> {
  const {
    role = null,
    display_name = null,
    active = null,
    password_hash = null,
    keep_tokens = false,
  } = changes
  const [row] = await sql<(User | { id: null })[]>`
    with ${adminAuthor(sql, by)},
    target as materialized (
      select u.id as target_id, set_config('silo.keep_tokens', ${keep_tokens ? 'on' : 'off'}, true)
        from users u
       where lower(u.username) = lower(${username})
         and ${hasRight(sql, 'author')}
    ),
    changed as (
      update users u
         set role          = coalesce(${role}, role),
             display_name  = coalesce(${display_name}, display_name),
             active        = coalesce(${active}, active),
             password_hash = coalesce(${password_hash}, password_hash)
        from target
       where u.id = target_id
         and (u.role <> 'admin'
              or not u.active
              or (coalesce(${role}, u.role) = 'admin' and coalesce(${active}, u.active))
              or exists (select from admins where admins.id <> u.id))
      returning ${columns(sql)}
    )
    select changed.*
      from target
      left join changed on changed.id = target_id
  `
  if (!row) return { refused: 'user_not_found' }
  if (row.id === null) return { refused: 'last_admin' }
  return { user: row }
}

/**
 * Deletes a user with all of their tokens.
 * @returns why the user was not deleted, or undefined
 */
export async function deleteUser(
  sql: Sql,
  by: Credential,
  username: string,
): Promise<'user_not_found' | 'last_admin' | undefined> {
  const [row] = await sql<{ deleted: boolean }[]>`
    with ${adminAuthor(sql, by)},
    target as materialized (
      select u.id as target_id
        from users u
       where lower(u.username) = lower(${username})
         and ${hasRight(sql, 'author')}
    ),
    deleted as (
      delete from users u
       using target
       where u.id = target_id
         and (u.role <> 'admin'
              or not u.active
              or exists (select from admins where admins.id <> u.id))
      returning u.id
    )
    select exists (select from deleted) as deleted
      from target
  `
  if (!row) return 'user_not_found'
  return row.deleted ? undefined : 'last_admin'
}

async function hasUsers(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ has_users: boolean }[]>`select exists (select from users) as has_users`
  return row?.has_users === true
}

/**
 * Creates the first admin if there are no users, with the given password or a random one. If several
 * instances start at once, one of them creates it.
 * @returns the user and the random password, to be shown once; undefined when a password was given or users
 * exist already
 */
export async function createFirstAdmin(
  sql: Sql,
  username: string,
  configured: string | undefined,
): Promise<{ username: string; password: string } | undefined> {
  if (await hasUsers(sql)) return undefined
  const password = configured ?? randomBytes(15).toString('base64url')
  const password_hash = await hashPassword(password)
  const created = await addUser(sql, { username, display_name: username, role: 'admin', password_hash })
  return created && configured === undefined ? { username, password } : undefined
}

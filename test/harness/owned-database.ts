import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import type { Test } from 'tap'
import { serverUrl } from './database.js'

/**
 * A database and its owner, a role that can log in and has no other right, as docs/configuration.md
 * recommends.
 */
export interface OwnedDatabase {
  /** The name of the database and of its owner. */
  name: string
  /** The address of the database for its owner. */
  owner: string
  /** The address of the database for a superuser. */
  superuser: string
  /** Runs a statement as superuser, connected to another database. */
  administer: (statement: string) => Promise<void>
  /** Ends all connections to the database. */
  terminate: () => Promise<void>
}

/**
 * Creates an empty database and its owner. Both are dropped when the test ends. `options` are those of
 * `create database`.
 */
export async function createOwnedDatabase(t: Test, options = ''): Promise<OwnedDatabase> {
  const name = `silo_plain_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const admin = postgres(serverUrl(), { max: 1, onnotice: () => undefined })
  const administer = async (statement: string) => {
    await admin.unsafe(statement)
  }
  await administer(`create role ${name} login password 'plain'`)
  await administer(`create database ${name} owner ${name} ${options}`)
  t.teardown(async () => {
    await administer(`drop database ${name} with (force)`)
    await administer(`drop role ${name}`)
    await admin.end()
  })
  const superuser = new URL(serverUrl())
  superuser.pathname = `/${name}`
  const owner = new URL(superuser)
  owner.username = name
  owner.password = 'plain'
  return {
    name,
    owner: owner.href,
    superuser: superuser.href,
    administer,
    terminate: () =>
      administer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`),
  }
}

import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import type { Test } from 'tap'
import { serverUrl } from './server-url.js'

/** A database and its owner, a role that may sign in and nothing else: what docs/configuration.md asks for. */
export interface OwnedDatabase {
  /** The name of the database and of its owner. */
  name: string
  /** The addresses of the database, for its owner and for a superuser. */
  owner: string
  superuser: string
  /** Runs a statement as superuser, connected to another database. */
  administer: (statement: string) => Promise<void>
  /** Ends all connections to the database. */
  terminate: () => Promise<void>
}

/** Creates an empty database that is dropped with its owner when the test ends. `options` are those of `create database`. */
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

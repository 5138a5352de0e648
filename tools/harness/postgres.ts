import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import postgres from 'postgres'
import { type Embedded, startEmbedded } from '../../embedded/postgres.js'
import type { Scope } from './scope.js'

const Secrets = Type.Object({ postgres_password: Type.String() })

/** A database of a run. */
export interface Database {
  /** Its connection URL for the service, whose role owns it and is not a superuser. */
  url: string
  /** Its connection URL for a superuser. */
  superuserUrl: string
}

/** A running PostgreSQL server. */
export interface DatabaseServer {
  /** The connection URL for a superuser, to the database `postgres`. */
  superuserUrl: string
  /**
   * Creates a database that is dropped when `scope` ends: a copy of `template`, or an empty one. The service
   * migrates it when it starts.
   */
  createDatabase(scope: Scope, template?: Database): Promise<Database>
}

/** Returns the connection URL for the superuser of an embedded server, to the database `postgres`. */
export async function readSuperuserUrl(folder: string, server: Embedded): Promise<string> {
  const secrets = await readFile(join(folder, 'cluster', 'secrets.json'), 'utf8')
  const { postgres_password: password } = Value.Parse(Secrets, JSON.parse(secrets))
  const url = new URL(server.url)
  // Without the parameters of Silo's URLs, which the driver would send to the server as settings.
  Object.assign(url, { username: 'postgres', password, pathname: '/postgres', search: '' })
  return url.href
}

/**
 * Starts the embedded PostgreSQL in a fresh folder, as durable as in production. It ends with `scope`.
 * @param settings settings of the server, by their names
 */
export async function startPostgres(
  scope: Scope,
  settings: Record<string, string> = {},
): Promise<DatabaseServer> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-postgres-'))
  scope.defer(() => rm(folder, { recursive: true }))
  const server = await startEmbedded(folder, () => undefined, { settings, network: true })
  scope.defer(() => server.stop())
  const superuser = await readSuperuserUrl(folder, server)
  const urlOf = (name: string, { username, password }: URL): string => {
    const url = new URL(superuser)
    Object.assign(url, { username, password, pathname: `/${name}` })
    return url.href
  }
  const admin = postgres(superuser, { max: 1 })
  scope.defer(() => admin.end({ timeout: 1 }))

  let made = 0
  return {
    superuserUrl: superuser,
    async createDatabase(inner, template) {
      const name = `bench_${++made}`
      const from = template ? new URL(template.url).pathname.slice(1) : 'template1'
      await admin.unsafe(`create database ${name} owner silo template ${from} strategy file_copy`)
      inner.defer(() => admin.unsafe(`drop database ${name} with (force)`))
      return { url: urlOf(name, new URL(server.url)), superuserUrl: urlOf(name, new URL(superuser)) }
    },
  }
}

import { readFile, readdir } from 'node:fs/promises'
import postgres from 'postgres'
import { StartError } from '../errors.js'
import type { Sql } from './driver/connect.js'
import { inspectDatabase, quoteName } from './preflight.js'

const MIGRATIONS = new URL('migrations/', import.meta.resolve('#root'))

/**
 * Key of the advisory lock that serialises the migrations of a database; a constant that no other program
 * uses.
 */
const MIGRATION_LOCK = 7_149_001

interface Migration {
  version: number
  name: string
  text: string
}

async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => /^\d{3}-.+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => ({
      version: Number(name.slice(0, 3)),
      name,
      text: await readFile(new URL(name, MIGRATIONS), 'utf8'),
    })),
  )
}

async function readApplied(sql: Sql, schema: string): Promise<number[]> {
  const rows = await sql<{ version: number }[]>`
    select version
      from ${sql(schema)}.schema_migrations
     order by version
  `
  return rows.map(({ version }) => version)
}

/**
 * Returns the migrations that have not been applied.
 * @throws {StartError} when the database has migrations that this program doesn't know
 */
function pendingOf(migrations: Migration[], applied: number[]): Migration[] {
  const newest = migrations.at(-1)?.version ?? 0
  const current = applied.at(-1) ?? 0
  if (current > newest) {
    throw new StartError(
      `the schema of the database has version ${current}, and this program supports up to ${newest}: ` +
        'run a newer Silo',
    )
  }
  return migrations.filter(({ version }) => !applied.includes(version))
}

/** Returns a {StartError} with advice if the server denied a permission, and any other error as it is. */
function refusal(err: unknown, schema: string): unknown {
  const INSUFFICIENT_PRIVILEGE = '42501'
  if (!(err instanceof postgres.PostgresError && err.code === INSUFFICIENT_PRIVILEGE)) return err
  return new StartError(
    `the role of DATABASE_URL may not migrate the schema ${schema} (${err.message}): ` +
      'make it the owner of the tables',
  )
}

/**
 * Migrates the database to the newest schema, forward only, in one transaction. If several instances start at
 * once, one applies the migrations, and the others wait for the lock and find none pending. If none is
 * pending, nothing is written, so the database may be read-only.
 * @returns the schema that has the tables
 * @throws {StartError} when the database can't hold the service, or is newer than this program
 */
export async function migrate(sql: Sql): Promise<string> {
  const migrations = await readMigrations()
  const { schema, isInstalled, trigramSchema, writable } = await inspectDatabase(sql)
  if (isInstalled) {
    const pending = pendingOf(migrations, await readApplied(sql, schema))
    if (pending.length === 0) return schema
    if (!writable) {
      throw new StartError(
        'the database accepts no writes, and its schema needs migrations ' +
          `(${pending.map(({ name }) => name).join(', ')}): make it writable first`,
      )
    }
  }
  try {
    await sql.begin((tx) => apply(tx, migrations, schema, trigramSchema))
  } catch (err) {
    throw refusal(err, schema)
  }
  return schema
}

type Transaction = Parameters<Parameters<Sql['begin']>[1]>[0]

async function apply(
  tx: Transaction,
  migrations: Migration[],
  schema: string,
  trigramSchema: string | undefined,
): Promise<void> {
  const path = new Set([schema, ...(trigramSchema === undefined ? [] : [trigramSchema])])
  await tx`select set_config('search_path', ${[...path].map(quoteName).join(', ') + ', pg_temp'}, true)`
  await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK})`
  await tx`
    create table if not exists schema_migrations (
      version    integer primary key,
      name       text not null,
      applied_at timestamptz not null default now()
    )
  `
  const applied = await tx<{ version: number }[]>`select version from schema_migrations order by version`
  const pending = pendingOf(
    migrations,
    applied.map(({ version }) => version),
  )
  for (const { version, name, text } of pending) {
    await tx.unsafe(text)
    await tx`insert into schema_migrations (version, name) values (${version}, ${name})`
  }
}

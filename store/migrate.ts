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

/** Returns the names of the migrations that have been applied. */
async function readApplied(sql: Sql, schema: string): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select name
      from ${sql(schema)}.schema_migrations
     order by version
  `
  return rows.map(({ name }) => name)
}

/**
 * Returns the migrations that have not been applied. They are compared by name, because another version of
 * the program can have another migration with the same number.
 * @throws {StartError} when the database has migrations that this program doesn't have
 */
function pendingOf(migrations: Migration[], applied: string[]): Migration[] {
  const names = migrations.map(({ name }) => name)
  const unknown = applied.filter((name) => !names.includes(name))
  if (unknown.length > 0) {
    throw new StartError(
      `the database has migrations that this version of Silo does not have (${unknown.join(', ')}): ` +
        'run the version that applied them, or use an empty database',
    )
  }
  return migrations.filter(({ name }) => !applied.includes(name))
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
 * @throws {StartError} when the database can't hold the service, or has migrations that this program doesn't
 *   have
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
  const applied = await tx<{ name: string }[]>`select name from schema_migrations order by version`
  const pending = pendingOf(
    migrations,
    applied.map(({ name }) => name),
  )
  for (const { version, name, text } of pending) {
    await tx.unsafe(text)
    await tx`insert into schema_migrations (version, name) values (${version}, ${name})`
  }
}

import { readdir, readFile } from 'node:fs/promises'
import { StartError } from '../errors.js'
import type { Sql } from './connect.js'

const MIGRATIONS = new URL('migrations/', import.meta.resolve('#root'))

/** Serialises migrators of one database; any constant that nobody else takes. */
const MIGRATION_LOCK = 7_149_001

async function migrationFiles(): Promise<{ version: number; name: string; text: string }[]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => /^\d{3}-.+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => ({
      version: Number(name.slice(0, 3)),
      name,
      text: await readFile(new URL(name, MIGRATIONS), 'utf8'),
    })),
  )
}

/**
 * Brings the database to the newest schema, forward only, in one transaction. Several instances may start at once: one
 * applies, the others wait for the lock and find nothing left to do.
 * @throws {StartError} when the database is newer than this program, or its server older than PostgreSQL 15
 */
export async function migrate(sql: Sql): Promise<void> {
  const files = await migrationFiles()
  await sql.begin(async (tx) => {
    const [server] = await tx<{ version: number }[]>`
      select current_setting('server_version_num')::integer as version
    `
    if (server && server.version < 150000) {
      throw new StartError(
        `PostgreSQL 15 or newer is needed; this server is ${Math.floor(server.version / 10000)}`,
      )
    }
    await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK})`
    await tx`
      create table if not exists schema_migrations (
        version    integer primary key,
        name       text not null,
        applied_at timestamptz not null default now()
      )
    `
    const [applied] = await tx<
      { version: number | null }[]
    >`select max(version) as version from schema_migrations`
    const current = applied?.version ?? 0
    const newest = files.at(-1)?.version ?? 0
    if (current > newest) {
      throw new StartError(
        `the database is at schema ${current}, this program knows up to ${newest}: run a newer Silo`,
      )
    }
    for (const { version, name, text } of files.filter((file) => file.version > current)) {
      await tx.unsafe(text)
      await tx`insert into schema_migrations (version, name) values (${version}, ${name})`
    }
  })
}

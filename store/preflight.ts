import { StartError } from '../errors.js'
import type { Sql } from './driver/connect.js'

const OLDEST_VERSION = 15

/** The state of a database before it is migrated. */
export interface Preflight {
  /** The schema that has the service's tables, or in which they will be created. */
  schema: string
  /** The schema of the extension pg_trgm, if it is installed. */
  trigramSchema: string | undefined
  /** Whether the schema has the tables. */
  isInstalled: boolean
  /** Whether transactions can write. */
  writable: boolean
}

/** Relations that the migrations create. */
const RELATIONS = [
  'users',
  'tokens',
  'items',
  'past_revisions',
  'revisions',
  'categories',
  'events',
  'event_log',
  'server_settings',
  'instances',
  'schema_migrations',
]

interface Facts {
  version: number
  encoding: string
  database: string
  role: string
  writable: boolean
  current_schema: string | null
  may_create: boolean
  may_extend: boolean
  trigram_schema: string | null
  may_use_trigrams: boolean
  has_trigram: boolean
  /** The schemas that have the service's tables: first those in the search path, in its order. */
  homes: { schema: string; in_path: boolean }[]
  /** A relation of another application, in the current schema, whose name the service needs. */
  obstacle: string | null
}

async function readFacts(sql: Sql): Promise<Facts> {
  const [facts] = await sql<Facts[]>`
    select current_setting('server_version_num')::integer / 10000 as version,
           pg_encoding_to_char(d.encoding) as encoding,
           d.datname as database,
           current_user::text as role,
           current_setting('transaction_read_only') = 'off' as writable,
           home.name::text as current_schema,
           coalesce(has_schema_privilege(home.name, 'create'), false) as may_create,
           has_database_privilege(d.oid, 'create') as may_extend,
           (
             select n.nspname::text
               from pg_extension e
               join pg_namespace n on n.oid = e.extnamespace
              where e.extname = 'pg_trgm'
           ) as trigram_schema,
           coalesce((
             select has_schema_privilege(extnamespace, 'usage')
               from pg_extension
              where extname = 'pg_trgm'
           ), true) as may_use_trigrams,
           exists (select from pg_available_extensions where name = 'pg_trgm') as has_trigram,
           (
             select coalesce(json_agg(json_build_object('schema', n.nspname, 'in_path', ordinal is not null)
                                      order by ordinal nulls last, n.nspname), '[]')
               from pg_namespace n
               left join unnest(current_schemas(false)) with ordinality as path (name, ordinal)
                 on path.name = n.nspname
               join pg_class log on log.relnamespace = n.oid and log.relname = 'event_log'
              where exists (select from pg_class where relnamespace = n.oid and relname = 'schema_migrations')
                and exists (select from pg_class where relnamespace = n.oid and relname = 'server_settings')
                and (ordinal is not null or pg_has_role(log.relowner, 'usage'))
           ) as homes,
           (
             select min(relname)::text
               from pg_class
              where relnamespace = (select oid from pg_namespace where nspname = current_schema())
                and relname = any(${RELATIONS}::text[])
           ) as obstacle
      from pg_database d
     cross join (
           select coalesce(
                    current_schema(),
                    (select nspname from pg_namespace where nspname = 'public')
                  ) as name
           ) home
     where d.datname = current_database()
  `
  if (!facts) throw new Error('pg_database has no row of this database')
  return facts
}

/**
 * Checks that no pooler in transaction mode is between the service and PostgreSQL. Only behind such a pooler
 * do two open, idle connections have the same server process.
 * @throws {StartError} if there is one
 */
export async function demandOwnConnections(first: Sql, second: Sql): Promise<void> {
  const pids: number[] = []
  for (const sql of [first, second]) {
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
    if (row) pids.push(row.pid)
  }
  if (pids[0] !== pids[1]) return
  throw new StartError(
    'DATABASE_URL leads to a pooler in transaction mode, which does not support notifications: ' +
      'use session mode, or connect to PostgreSQL directly',
  )
}

/** Quotes a name as an SQL identifier. */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * Checks that a database can hold the service, and finds the schema.
 *
 * The tables are searched for, rather than expected in the first schema of the search path. Otherwise a
 * search path that was set later, or a schema that is named like the role, would lead to a second, empty set
 * of tables.
 * @throws {StartError} that says what to do, if the database can't hold the service
 */
export async function inspectDatabase(sql: Sql): Promise<Preflight> {
  const facts = await readFacts(sql)
  const { version, encoding, database, role, writable, current_schema, homes } = facts
  if (version < OLDEST_VERSION) {
    throw new StartError(`PostgreSQL ${OLDEST_VERSION} or newer is required; this server has ${version}`)
  }
  if (encoding !== 'UTF8') {
    throw new StartError(
      `the database ${database} has the encoding ${encoding}, and UTF8 is required: create another with ` +
        `"create database … encoding 'UTF8' template template0" and set DATABASE_URL to it`,
    )
  }
  const [home, second] = homes
  if (home && second && !home.in_path) {
    throw new StartError(
      `the database ${database} has the service's tables in several schemas ` +
        `(${homes.map(({ schema }) => schema).join(', ')}), ` +
        'and none is in the search path: select one with options=-c%20search_path%3D… in DATABASE_URL',
    )
  }
  const trigramSchema = facts.trigram_schema ?? undefined
  if (home) return { schema: home.schema, trigramSchema, isInstalled: true, writable }

  if (current_schema === null) {
    throw new StartError(
      `the database ${database} has no schema for the tables: create the one that the search path names`,
    )
  }
  if (facts.obstacle !== null) {
    throw new StartError(
      `the schema ${current_schema} of the database ${database} has a table "${facts.obstacle}" of ` +
        'another application: ' +
        'give the service a database of its own',
    )
  }
  if (!writable) {
    throw new StartError(
      `the database ${database} is empty and accepts no writes, so no tables can be created: ` +
        'make it writable, or connect to its primary',
    )
  }
  if (!facts.may_create) {
    throw new StartError(
      `the role ${role} may not create tables in the schema ${current_schema} of the database ${database}: ` +
        `make it the owner ("alter database ${quoteName(database)} owner to ${quoteName(role)}")`,
    )
  }
  checkTrigrams(facts)
  return { schema: current_schema, trigramSchema, isInstalled: false, writable }
}

function checkTrigrams({
  trigram_schema,
  may_use_trigrams,
  has_trigram,
  may_extend,
  role,
  database,
}: Facts): void {
  if (!may_use_trigrams) {
    throw new StartError(
      `the role ${role} may not use the schema ${trigram_schema ?? ''}, which has the extension pg_trgm: ` +
        `grant usage on schema ${trigram_schema ?? ''} to ${role}`,
    )
  }
  if (trigram_schema !== null) return
  if (!has_trigram) {
    throw new StartError(
      'the server does not have the extension pg_trgm: install the package that contains it, ' +
        'often postgresql-contrib',
    )
  }
  if (!may_extend) {
    throw new StartError(
      `the role ${role} may not create extensions in the database ${database}: ` +
        'let an administrator run "create extension pg_trgm" there, or make the role the owner',
    )
  }
}

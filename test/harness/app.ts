import { createHash, randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../app.js'
import { type AppConfig, readConfig } from '../../config.js'
import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/driver/connect.js'
import { createDatabase } from './database.js'

/**
 * Returns the configuration of a test's application: any free port, no log, no heartbeat soon, and the values
 * of `wanted`.
 */
export function testConfig(databaseUrl: string, wanted: Partial<AppConfig> = {}): AppConfig {
  return {
    ...readConfig({ PORT: '0', LOG_LEVEL: 'silent', HEARTBEAT_MS: '3600000' }),
    DATABASE_URL: databaseUrl,
    JWT_SECRET: 'a secret for tests, long enough to be one',
    ...wanted,
  }
}

/** Starts an application on a database of its own, or on `databaseUrl`. It is closed when the test ends. */
export async function startApp(
  t: Test,
  { databaseUrl, ...wanted }: Partial<AppConfig> & { databaseUrl?: string } = {},
): Promise<FastifyInstance> {
  const app = await buildApp(testConfig(databaseUrl ?? (await createDatabase(t)), wanted))
  t.teardown(() => app.close())
  await app.ready()
  return app
}

/** Creates an API token of a user with this role in the database, for tests that are not about signing in. */
export async function createToken(
  sql: Sql,
  role: Role,
  username = `${role}-${randomBytes(3).toString('hex')}`,
): Promise<string> {
  const secret = `silo_${randomBytes(32).toString('base64url')}`
  const hash = createHash('sha256').update(secret).digest()
  await sql`
    with person as (
      insert into users (username, display_name, role, password_hash)
      values (${username}, ${username}, ${role}, 'none')
      on conflict ((lower(username))) do update set role = excluded.role
      returning id
    )
    insert into tokens (user_id, kind, name, role, hash, expires_at)
    select id, 'api', 'test', ${role}, ${hash}, now() + interval '1 hour'
      from person
  `
  return secret
}

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../app.js'
import { type AppConfig, readConfig } from '../../config.js'
import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/driver/connect.js'
import { createToken as createApiToken } from '../../tools/harness/tokens.js'
import { createDatabase } from './database.js'

/**
 * Returns the configuration of a test's application: any free port, no log, a heartbeat interval that is
 * longer than most tests, and the values of `wanted`.
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

/** Creates an API token of a user with this role in the database, and returns its secret. */
export async function createToken(sql: Sql, role: Role, username?: string): Promise<string> {
  const { secret } = await createApiToken(sql, role, username)
  return secret
}

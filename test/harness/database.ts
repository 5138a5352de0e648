import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'

const TEMPLATE = 'silo_template'

/**
 * Returns the postgres:// address of the server that the tests use. Its user can create databases and roles.
 */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL
  if (url === undefined) throw new Error('start the tests with `npm test`, which starts PostgreSQL')
  return url
}

function urlOf(database: string): string {
  const url = new URL(serverUrl())
  url.pathname = `/${database}`
  return url.href
}

/**
 * Creates and migrates the template from which the databases of the tests are cloned. Called once, before the
 * first test file.
 */
export async function createTemplate(): Promise<void> {
  const admin = postgres(serverUrl(), { max: 1, onnotice: () => undefined })
  await admin.unsafe(`drop database if exists ${TEMPLATE} with (force)`)
  await admin.unsafe(`create database ${TEMPLATE}`)
  await admin.end()
  const sql = connect(urlOf(TEMPLATE), 1)
  await migrate(sql)
  await sql.end()
}

/**
 * Creates a database for this test. It is dropped when the test has passed; otherwise it is left, and its
 * name is printed.
 * @returns its postgres:// address
 */
export async function createDatabase(t: Test): Promise<string> {
  const name = `silo_test_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const admin = postgres(serverUrl(), { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create database ${name} template ${TEMPLATE} strategy file_copy`)
  t.teardown(async () => {
    if (t.passing()) await admin.unsafe(`drop database ${name} with (force)`)
    else t.comment(`the database of this failure is kept: ${name}`)
    await admin.end()
  })
  return urlOf(name)
}

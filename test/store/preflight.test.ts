import t, { type Test } from 'tap'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { startApp } from '../harness/app.js'
import { clientAs } from '../harness/client.js'
import { type OwnedDatabase, createOwnedDatabase } from '../harness/owned-database.js'

/** Runs statements in the database as superuser. */
async function run(t: Test, { superuser }: OwnedDatabase, ...statements: string[]): Promise<void> {
  const sql = connect(superuser, 1)
  t.teardown(() => sql.end())
  for (const statement of statements) await sql.unsafe(statement)
}

async function migrateAsOwner(t: Test, { owner }: OwnedDatabase): Promise<string> {
  const sql = connect(owner, 1)
  t.teardown(() => sql.end())
  return migrate(sql)
}

t.test('a database with another encoding is refused with what to do', async (t) => {
  for (const encoding of ['LATIN1', 'SQL_ASCII']) {
    const database = await createOwnedDatabase(
      t,
      `encoding '${encoding}' locale_provider libc locale 'C' template template0`,
    )
    await t.rejects(migrateAsOwner(t, database), {
      name: 'StartError',
      message: new RegExp(
        `has the encoding ${encoding}, .* create another with "create database … encoding 'UTF8'`,
      ),
    })
  }
})

t.test('missing privileges are named, with the statement that grants them', async (t) => {
  const database = await createOwnedDatabase(t)
  const { name, administer } = database
  await administer(`alter database ${name} owner to postgres`)
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message:
      `the role ${name} may not create tables in the schema public of the database ${name}: ` +
      `make it the owner ("alter database "${name}" owner to "${name}"")`,
  })
  await run(t, database, `grant create on schema public to ${name}`)
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message: /may not create extensions .* "create extension pg_trgm"/,
  })
  await run(t, database, 'create extension pg_trgm')
  t.equal(await migrateAsOwner(t, database), 'public')
})

t.test("another application's tables are left alone", async (t) => {
  for (const table of ['users (id text)', 'schema_migrations (version text)']) {
    const database = await createOwnedDatabase(t)
    await run(t, database, `create table ${table}`)
    await t.rejects(migrateAsOwner(t, database), {
      name: 'StartError',
      message: new RegExp(
        `has a table "${table.split(' ')[0] ?? ''}" of another application: ` +
          'give the service a database of its own',
      ),
    })
  }
})

t.test('a database with a migration of a newer version is refused, and is not changed', async (t) => {
  const database = await createOwnedDatabase(t)
  await migrateAsOwner(t, database)
  await run(t, database, "insert into schema_migrations (version, name) values (999, '999-future.sql')")
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message:
      'the database has migrations that this version of Silo does not have (999-future.sql): ' +
      'run the version that applied them, or use an empty database',
  })
})

t.test('a database with another migration of the same number is refused', async (t) => {
  const database = await createOwnedDatabase(t)
  await migrateAsOwner(t, database)
  await run(t, database, "update schema_migrations set name = '001-other.sql' where version = 1")
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message: /does not have \(001-other\.sql\): run the version that applied them/,
  })
})

t.test('a database with the replaced migrations is refused until their rows are deleted', async (t) => {
  const database = await createOwnedDatabase(t)
  await migrateAsOwner(t, database)
  await run(
    t,
    database,
    `insert into schema_migrations (version, name)
     values (2, '002-owner-functions.sql'), (3, '003-instances.sql'), (4, '004-history.sql'),
            (5, '005-text.sql'), (6, '006-rights.sql'), (7, '007-bounds.sql'), (16, '016-tokens.sql'),
            (17, '017-adoption.sql')`,
  )
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message:
      /does not have \(002-owner-functions\.sql, .*, 017-adoption\.sql\): run the version that applied them/,
  })
  await run(t, database, 'delete from schema_migrations where version > 1')
  t.equal(await migrateAsOwner(t, database), 'public')
})

t.test('pg_trgm may be in a schema of its own', async (t) => {
  const database = await createOwnedDatabase(t)
  await run(t, database, 'create schema extensions', 'create extension pg_trgm schema extensions')
  await t.rejects(migrateAsOwner(t, database), {
    name: 'StartError',
    message: /may not use the schema extensions, .*: grant usage on schema extensions to silo_plain/,
  })
  await run(t, database, `grant usage on schema extensions to ${database.name}`)
  const app = await startApp(t, { databaseUrl: database.owner })
  const send = await clientAs(app, 'editor')
  await send('POST', '/api/items', { payload: { part_number: 'A-1', description: 'Bracket' } })
  t.match((await send('GET', '/api/items?search=rack')).json(), { items: [{ part_number: 'A-1' }] })
})

t.test('existing tables are found, whatever the search path is by now', async (t) => {
  const database = await createOwnedDatabase(t)
  const { name, administer } = database
  t.equal(await migrateAsOwner(t, database), 'public')
  await run(t, database, `create schema ${name} authorization ${name}`, 'create schema other')
  t.equal(await migrateAsOwner(t, database), 'public', 'although a schema named like the role comes first')
  for (const path of ["''", 'nowhere', 'other', 'other, public']) {
    await administer(`alter role ${name} in database ${name} set search_path = ${path}`)
    t.equal(await migrateAsOwner(t, database), 'public', path)
    const app = await startApp(t, { databaseUrl: database.owner })
    const send = await clientAs(app, 'editor')
    t.equal((await send('POST', '/api/items', { payload: { category: 'A01' } })).statusCode, 201, path)
  }
})

t.test('the search path of the role decides where the tables are created', async (t) => {
  const database = await createOwnedDatabase(t)
  const { name, administer } = database
  await run(t, database, `create schema "In ""stock""" authorization ${name}`)
  await administer(`alter role ${name} in database ${name} set search_path = "In ""stock"""`)
  t.equal(await migrateAsOwner(t, database), 'In "stock"')
  const app = await startApp(t, { databaseUrl: database.owner })
  const send = await clientAs(app, 'editor')
  t.equal((await send('POST', '/api/items', { payload: { category: 'A01' } })).statusCode, 201)
})

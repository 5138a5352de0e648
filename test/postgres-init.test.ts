import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import postgres from 'postgres'
import t from 'tap'
import { needs } from './harness/needs.js'
import { PostgresServer } from './harness/postgres-server.js'
import { startService } from './harness/service.js'

const SCRIPT = fileURLToPath(new URL('postgres-init.sql', import.meta.resolve('#root')))
const PASSWORD = 'letters-and-digits'

t.test(
  'postgres-init.sql creates an owner for the service and bars the superuser from the network',
  needs('pg_ctl', 'psql'),
  async (t) => {
    // As the PostgreSQL image initializes a volume: trust on the socket, passwords over TCP.
    const server = await PostgresServer.prepare(t)
    await server.write(`${server.folder}/password`, PASSWORD)
    await server.run(
      'initdb',
      '--username=postgres',
      '--auth-local=trust',
      '--auth-host=scram-sha-256',
      `--pwfile=${server.folder}/password`,
      '--encoding=UTF8',
      '--no-sync',
      server.data,
    )
    await server.start({ unix_socket_directories: server.folder })
    const { host } = new URL(server.url())
    const port = host.split(':')[1] ?? ''
    await promisify(execFile)(
      'psql',
      [
        '--no-psqlrc',
        '--username=postgres',
        '--no-password',
        `--host=${server.folder}`,
        `--port=${port}`,
        `--file=${SCRIPT}`,
      ],
      { env: { PATH: process.env.PATH, POSTGRES_PASSWORD: PASSWORD } },
    )

    const DATABASE_URL = `postgres://silo:${PASSWORD}@${host}/silo`
    const service = startService(t, { DATABASE_URL, JWT_SECRET: 'a secret for tests, long enough to be one' })
    const ready = await fetch(`${await service.url()}/ready`)
    t.equal(ready.status, 200)
    t.match(service.stdout, 'admin')

    const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined })
    t.teardown(() => sql.end())
    t.strictSame(
      [
        ...(await sql`
          select rolname, rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user
        `),
      ],
      [{ rolname: 'silo', rolsuper: false, rolcreaterole: false, rolcreatedb: false }],
    )
    const [database] =
      await sql`select pg_get_userbyid(datdba) as owner from pg_database where datname = 'silo'`
    t.equal(database?.owner, 'silo')
    const superuser = postgres(`postgres://postgres:${PASSWORD}@${host}/silo`, { max: 1 })
    t.teardown(() => superuser.end())
    await t.rejects(superuser`select 1`, { code: '28P01' }, 'the superuser has no password')
  },
)

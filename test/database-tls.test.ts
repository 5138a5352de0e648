import { chmod, chown, copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import t, { type Test } from 'tap'
import { startEmbedded } from '../embedded/postgres.js'
import { StartError } from '../errors.js'
import { SSL_MODES } from '../lib/database-url.js'
import { type Sql, connect, openHosts } from '../store/driver/connect.js'
import { Leases } from '../store/leases.js'
import { waitForDatabase } from '../store/wait.js'
import { Authority } from './harness/certificates.js'
import { needs } from './harness/needs.js'
import { PostgresServer } from './harness/postgres-server.js'
import { startService } from './harness/service.js'
import { serverUrl } from './harness/database.js'
import { eventually } from '../tools/harness/eventually.js'

const SECRET = 'hunter2'
const JWT_SECRET = 'a secret for tests, long enough to be one'

const Secrets = Type.Object({ postgres_password: Type.String() })

const RULES = `
local all all trust
hostssl certified all all cert
hostssl encrypted all all trust
hostnossl plain all all trust
host protected all all scram-sha-256
host postgres all all trust
`

interface Place {
  host?: string
  database?: string
  user?: string
}

/** Starts a server with TLS, whose certificate is issued for `localhost` and `::1`. */
async function startServer(t: Test) {
  const authority = await Authority.create(t)
  await authority.sign('server', '/CN=db.example', 'DNS:localhost,IP:::1')
  await authority.sign('silo', '/CN=silo')
  await authority.sign('mara', '/CN=mara')
  await authority.lock('silo', SECRET)
  const stranger = await Authority.create(t)
  await stranger.sign('silo', '/CN=silo')

  const server = await PostgresServer.prepare(t)
  await server.run('initdb', '--username=silo', '--auth=trust', '--encoding=UTF8', '--no-sync', server.data)
  await server.write(join(server.data, 'pg_hba.conf'), RULES)
  for (const name of ['server.pem', 'server.key', 'ca.pem']) {
    const file = join(server.folder, name)
    await copyFile(authority.file(name), file)
    await server.own(file)
  }
  await server.start({
    ssl: 'on',
    ssl_cert_file: join(server.folder, 'server.pem'),
    ssl_key_file: join(server.folder, 'server.key'),
    ssl_ca_file: join(server.folder, 'ca.pem'),
    listen_addresses: '127.0.0.1,::1',
    unix_socket_directories: server.folder,
  })
  const admin = connect(server.url(), 1)
  await admin.unsafe(`alter role silo password '${SECRET}'`)
  for (const name of ['certified', 'encrypted', 'plain', 'protected'])
    await admin.unsafe(`create database ${name}`)
  await admin.end()
  const { port } = new URL(server.url())
  const urlOf = (query: string, { host = 'localhost', database = 'postgres', user = 'silo' }: Place = {}) =>
    `postgres://${user}@${host}:${port}/${database}?${query}`
  const file = (name: string) => encodeURIComponent(authority.file(name))
  return { server, authority, stranger, urlOf, file, port }
}

/** Returns how the server sees a connection of a pool that is opened as the service opens its own. */
async function connectionOf(url: string) {
  const hosts = openHosts(url)
  await hosts.select()
  const sql = connect(hosts, 1)
  try {
    const [row] = await sql<{ ssl: boolean; version: string | null; client_dn: string | null }[]>`
      select ssl, version, client_dn from pg_stat_ssl where pid = pg_backend_pid()
    `
    return row
  } finally {
    await sql.end()
  }
}

/**
 * Asserts that a start with `url` is refused at once, in one sentence without a secret. With `mayRetry` the
 * refusal can come at a later attempt: the server closes the connection right after its TLS alert, and the
 * TCP reset can arrive first.
 */
async function refuses(t: Test, url: string, sentence: RegExp, { mayRetry = false } = {}): Promise<void> {
  const lines: string[] = []
  const start = async () => waitForDatabase(url, (line) => lines.push(line), AbortSignal.timeout(20_000))
  const error: unknown = await start().catch((err: unknown) => err)
  t.ok(error instanceof StartError, 'it is refused')
  if (!(error instanceof StartError)) return
  t.match(error.message, sentence)
  t.notMatch(error.message, /\n|hunter2/, 'one sentence, no secret')
  if (!mayRetry) t.strictSame(lines, [], 'it does not retry')
}

t.test('a database with TLS', needs('openssl', 'pg_ctl'), async (t) => {
  const { server, authority, stranger, urlOf, file, port } = await startServer(t)
  const ca = `sslrootcert=${file('ca.pem')}`

  t.test('each sslmode encrypts as documented, whatever the server requires', async (t) => {
    const encrypts: Record<string, boolean> = { disable: false, allow: false }
    for (const mode of SSL_MODES) {
      const query = `sslmode=${mode}${mode.startsWith('verify') ? `&${ca}` : ''}`
      t.equal((await connectionOf(urlOf(query)))?.ssl, encrypts[mode] ?? true, mode)
    }
    for (const mode of ['allow', 'prefer', 'require']) {
      const url = urlOf(`sslmode=${mode}`, { database: 'encrypted' })
      t.equal((await connectionOf(url))?.ssl, true, `${mode} where the server requires encryption`)
    }
    for (const mode of ['disable', 'allow', 'prefer']) {
      const url = urlOf(`sslmode=${mode}`, { database: 'plain' })
      t.equal((await connectionOf(url))?.ssl, false, `${mode} where the server refuses encryption`)
    }
    await refuses(t, urlOf('sslmode=disable', { database: 'encrypted' }), /no encryption/)
    await refuses(t, urlOf('sslmode=require', { database: 'plain' }), /no pg_hba.conf entry .*SSL encryption/)
    t.equal((await connectionOf(urlOf('ssl_max_protocol_version=TLSv1.2')))?.version, 'TLSv1.2')
    t.equal((await connectionOf(urlOf('ssl_min_protocol_version=TLSv1.3')))?.version, 'TLSv1.3')
  })

  t.test('the verify modes check the certificate authority, and verify-full the host name too', async (t) => {
    const unknown =
      /the certificate of the server was rejected: .*\(set sslrootcert to the certificate of its authority\)$/
    const other = `sslrootcert=${encodeURIComponent(stranger.file('ca.pem'))}`
    for (const mode of ['verify-ca', 'verify-full']) {
      await refuses(t, urlOf(`sslmode=${mode}`), unknown)
      await refuses(t, urlOf(`sslmode=${mode}&${other}`), unknown)
    }
    await refuses(t, urlOf(`sslmode=require&${other}`), unknown)
    t.equal((await connectionOf(urlOf(`sslmode=verify-ca&${ca}`, { host: '127.0.0.1' })))?.ssl, true)
    await refuses(
      t,
      urlOf(`sslmode=verify-full&${ca}`, { host: '127.0.0.1' }),
      /rejected the connection: the certificate of the server was rejected: .*127\.0\.0\.1/,
    )
    for (const sni of [0, 1])
      t.equal((await connectionOf(urlOf(`sslmode=verify-full&${ca}&sslsni=${sni}`)))?.ssl, true)
    t.equal((await connectionOf(urlOf(`sslmode=verify-full&${ca}`, { host: '[::1]' })))?.ssl, true)
    await authority.revoke('server')
    await refuses(
      t,
      urlOf(`sslmode=verify-full&${ca}&sslcrl=${file('crl.pem')}`),
      /certificate of the server was rejected: .*revoked/,
    )
  })

  t.test('a client certificate authenticates, with an encrypted or an unencrypted key', async (t) => {
    const at = { database: 'certified' }
    const certified = `sslmode=verify-full&${ca}&sslcert=${file('silo.pem')}`
    t.equal((await connectionOf(urlOf(`${certified}&sslkey=${file('silo.key')}`, at)))?.client_dn, '/CN=silo')
    const locked = `${certified}&sslkey=${file('silo-locked.key')}`
    t.equal((await connectionOf(urlOf(`${locked}&sslpassword=${SECRET}`, at)))?.client_dn, '/CN=silo')

    await refuses(t, urlOf(`sslmode=require`, at), /requires a valid client certificate/)
    const mara = `sslmode=require&sslcert=${file('mara.pem')}&sslkey=${file('mara.key')}`
    await refuses(t, urlOf(mara, at), /certificate authentication failed for user "silo"/)
    const [cert, key] = ['silo.pem', 'silo.key'].map((name) => encodeURIComponent(stranger.file(name)))
    await refuses(
      t,
      urlOf(`sslmode=require&sslcert=${cert}&sslkey=${key}`, at),
      /the server closed the TLS connection: \S/,
      { mayRetry: true },
    )
  })

  t.test('unusable files are refused with their parameter, before anything is sent', async (t) => {
    const garbage = authority.file('garbage.pem')
    await writeFile(garbage, SECRET)
    const at = (query: string) => urlOf(`sslmode=require&${query}`)
    const own = /^sslcert, sslkey or sslpassword of DATABASE_URL can't be used: /
    await refuses(
      t,
      at(`sslrootcert=${encodeURIComponent(garbage)}`),
      /^sslrootcert of DATABASE_URL can't be/,
    )
    await refuses(t, at(`sslcrl=${encodeURIComponent(garbage)}`), /^sslcrl of DATABASE_URL can't be used: /)
    await refuses(t, at(`sslcert=${file('silo.pem')}&sslkey=${file('mara.key')}`), own)
    await refuses(t, at(`sslcert=${file('silo.pem')}&sslkey=${encodeURIComponent(garbage)}`), own)
    await refuses(t, at(`sslcert=${file('silo.pem')}&sslkey=${file('silo-locked.key')}`), own)
    const wrong = `sslcert=${file('silo.pem')}&sslkey=${file('silo-locked.key')}&sslpassword=${SECRET}x`
    await refuses(t, at(wrong), own)
  })

  t.test('a query is canceled over TLS, and its connection is reused', async (t) => {
    const hosts = openHosts(urlOf(`sslmode=verify-full&${ca}`, { database: 'encrypted' }))
    await hosts.select()
    const leases = new Leases(hosts, 1)
    const admin = connect(server.url(), 1)
    t.teardown(() => Promise.all([leases.end({ timeout: 1 }), admin.end({ timeout: 1 })]))
    const sleeping = async () =>
      (await admin`select from pg_stat_activity where query like 'select pg_sleep(3%' and state = 'active'`)
        .length
    const leaving = new AbortController()
    const left = leases.run(leaving.signal, (sql: Sql) => sql`select pg_sleep(30)`)
    await eventually('the query', async () => (await sleeping()) === 1)
    leaving.abort(new Error('left'))
    await t.rejects(left, { message: 'left' })
    await eventually('the end of the query', async () => (await sleeping()) === 0, { timeoutMs: 5000 })
    const [row] = await leases.run(new AbortController().signal, (sql) => sql`select 1 as one`)
    t.strictSame(row, { one: 1 })
  })

  t.test('a Unix socket, an IPv6 address, a password file and a list of hosts all connect', async (t) => {
    const socket = `postgres://silo@/plain?host=${encodeURIComponent(server.folder)}&port=${port}`
    t.equal((await connectionOf(`${socket}&sslmode=verify-full`))?.ssl, false, 'a socket is not encrypted')
    t.equal((await connectionOf(urlOf('', { host: '[::1]' })))?.ssl, true)

    const passwords = authority.file('passwords')
    await writeFile(passwords, `other:*:*:*:wrong\n\\:\\:1:${port}:protected:silo:${SECRET}\n`, {
      mode: 0o600,
    })
    const at = { host: '[::1]', database: 'protected' }
    const protectedUrl = urlOf(`sslmode=require&passfile=${file('passwords')}`, at)
    t.equal((await connectionOf(protectedUrl))?.ssl, true, 'SCRAM over TLS, with the password of the file')
    await refuses(t, protectedUrl.replace('[::1]', '127.0.0.1'), /password authentication failed/)
    await chmod(passwords, 0o644)
    await refuses(t, protectedUrl, /^the password file is accessible to other users: run chmod 600 /)

    // The certificate does not match the first host, and nothing listens at the second.
    const hosts = `127.0.0.1:${port},127.0.0.1:1,localhost`
    const several = urlOf(`sslmode=verify-full&${ca}`, { host: hosts })
    t.equal((await connectionOf(several))?.ssl, true)
    const none = urlOf(`sslmode=verify-full&${ca}`, { host: `127.0.0.1:${port},127.0.0.1` })
    await refuses(t, none, /127\.0\.0\.1:\d+: the certificate of the server was rejected.*; 127/)
  })

  t.test('the service exits at once, with one sentence, when the certificate does not match', async (t) => {
    const wrongName = urlOf(`sslmode=verify-full&${ca}`, { host: '127.0.0.1' })
    for (const url of [urlOf('sslmode=verify-full'), wrongName]) {
      const service = startService(t, {
        DATABASE_URL: url.replace('silo@', `silo:${SECRET}@`),
        JWT_SECRET,
      })
      t.equal(await service.exit(), 1)
      t.match(
        service.stderr,
        /^silo: the database at .* rejected the connection: the certificate of the server was .*\n$/,
      )
      t.notMatch(service.stderr, /hunter2|^ +at /m)
    }
  })

  t.test('sslnegotiation=direct with a server older than PostgreSQL 17 is explained', async (t) => {
    const lines: string[] = []
    const stop = new AbortController()
    const url = urlOf('sslmode=require&sslnegotiation=direct')
    const waiting = waitForDatabase(url, (line) => lines.push(line), stop.signal)
    await eventually('a line', () => lines.length > 0)
    stop.abort()
    await t.rejects(waiting)
    t.match(lines[0], /sslnegotiation=direct needs PostgreSQL 17/)
  })
})

t.test('sslnegotiation=direct connects to PostgreSQL 18', needs('openssl'), async (t) => {
  const authority = await Authority.create(t)
  await authority.sign('server', '/CN=db', 'IP:127.0.0.1')
  const folder = await mkdtemp(join(tmpdir(), 'silo-direct-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const embedded = await startEmbedded(folder, () => undefined, { network: true })
  t.teardown(() => embedded.stop())
  const data = join(folder, 'cluster', 'data')
  const { uid, gid } = await stat(data)
  for (const name of ['server.pem', 'server.key']) {
    await copyFile(authority.file(name), join(data, name))
    await chown(join(data, name), uid, gid)
    await chmod(join(data, name), 0o600)
  }
  const secrets = await readFile(join(folder, 'cluster', 'secrets.json'), 'utf8')
  const superuser = new URL(embedded.url)
  superuser.username = 'postgres'
  superuser.password = Value.Parse(Secrets, JSON.parse(secrets)).postgres_password
  superuser.search = ''
  const admin = connect(superuser.href, 1)
  for (const setting of [`ssl_cert_file = 'server.pem'`, `ssl_key_file = 'server.key'`, 'ssl = on'])
    await admin.unsafe(`alter system set ${setting}`)
  await admin`select pg_reload_conf()`
  await admin.end()
  const ca = `sslrootcert=${encodeURIComponent(authority.file('ca.pem'))}`
  const at = (query: string) => `${superuser.href}?sslmode=verify-full&${ca}${query}`
  await eventually('the server to have TLS', () =>
    connectionOf(at('')).then(
      () => true,
      () => false,
    ),
  )
  t.match(await connectionOf(at('&sslnegotiation=direct')), { ssl: true, version: 'TLSv1.3' })
  await refuses(
    t,
    at('&sslnegotiation=direct').replace('127.0.0.1', 'localhost'),
    /certificate of the server was rejected: .*localhost/,
  )
})

t.test('a server without TLS is accepted by the sslmodes that allow it, and by no other', async (t) => {
  for (const mode of ['disable', 'allow', 'prefer'])
    t.equal((await connectionOf(`${serverUrl()}?sslmode=${mode}`))?.ssl, false, mode)
  for (const mode of ['require', 'verify-ca', 'verify-full'])
    await refuses(t, `${serverUrl()}?sslmode=${mode}`, /does not support TLS, which sslmode requires$/)
})

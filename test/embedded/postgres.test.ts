import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, lchown, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startEmbedded } from '../../embedded/postgres.js'
import { connect } from '../../store/driver/connect.js'
import { createDataDir, findPostmaster, startService } from '../harness/service.js'
import { eventually } from '../../tools/harness/eventually.js'

const silent = (): void => undefined
const isRoot = process.getuid?.() === 0

const pidFileOf = (folder: string): string => join(folder, 'cluster', 'data', 'postmaster.pid')

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8)

async function query(embedded: { url: string }, text: string) {
  const sql = connect(embedded.url, 1)
  try {
    return (await sql.unsafe(text)).map((row) => Object.values(row)[0] as unknown)
  } finally {
    await sql.end()
  }
}

t.test('a database is created once, requires its password, and admits one service at a time', async (t) => {
  const folder = await createDataDir(t)
  const lines: string[] = []
  const first = await startEmbedded(folder, (line) => lines.push(line))
  t.strictSame(lines, [`creating a database in ${folder}`])
  t.strictSame(await query(first, 'select current_user'), ['silo'])
  t.strictSame(await query(first, "select current_setting('is_superuser')"), ['off'])
  t.strictSame(await query(first, 'select distinct pg_encoding_to_char(encoding) from pg_database'), ['UTF8'])
  t.strictSame(await query(first, "select lower('ÄÖÜ')"), ['äöü'])
  const [, , , , socketFolder, addresses] = (await readFile(pidFileOf(folder), 'utf8')).split('\n')
  t.equal(socketFolder, join(folder, 'cluster', 'socket'))
  t.equal(addresses, '', 'it listens on no TCP port')
  const stranger = new URL(first.url)
  stranger.password = 'guessed'
  await t.rejects(query({ ...first, url: stranger.href }, 'select 1'), { code: '28P01' })
  t.equal(await modeOf(folder), isRoot ? '710' : '700')
  t.equal(await modeOf(join(folder, 'cluster', 'secrets.json')), '600')
  await query(first, 'create table kept as select 42 as answer')

  await t.rejects(startEmbedded(folder, silent), {
    name: 'StartError',
    message: /^.*: another Silo is running on this folder: stop it, or set SILO_DATA_DIR/,
  })
  t.strictSame(await query(first, 'select 1'), [1], 'the first service keeps running')
  await first.stop()
  t.equal(await findPostmaster(folder), undefined, 'the server has ended')

  const second = await startEmbedded(folder, (line) => lines.push(line))
  t.equal(lines.length, 1, 'nothing is created again')
  t.strictSame(await query(second, 'select answer from kept'), [42])
  t.equal(second.jwtSecret, first.jwtSecret)
  t.ok(second.jwtSecret.length >= 32)
  await second.stop()

  await writeFile(join(folder, 'cluster', 'data', 'PG_VERSION'), '17\n')
  await t.rejects(startEmbedded(folder, silent), {
    name: 'StartError',
    message: /was created by PostgreSQL 17, and this Silo has PostgreSQL 18/,
  })
})

t.test('the server is unreachable from other machines, and its files closed to other users', async (t) => {
  const folder = await createDataDir(t)
  const embedded = await startEmbedded(folder, silent, { network: true })
  const port = Number(new URL(embedded.url).port)
  const reaches = (host: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connectSocket(port, host)
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  t.equal(await reaches('127.0.0.1'), true)
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
  t.comment(`${outside.length} addresses of this machine are tried`)
  for (const { address } of [...outside, { address: '::1' }]) t.equal(await reaches(address), false, address)

  const rules = (await readFile(join(folder, 'cluster', 'data', 'pg_hba.conf'), 'utf8'))
    .split('\n')
    .filter((line) => /^\s*[^#\s]/.test(line))
  t.ok(rules.length > 0)
  for (const rule of rules) t.match(rule, /\bscram-sha-256$/, 'every rule requires the password')
  t.strictSame(await query(embedded, 'show password_encryption'), ['scram-sha-256'])
  await embedded.stop()

  for (const entry of await readdir(folder, { recursive: true })) {
    const { mode } = await stat(join(folder, entry))
    // Under root, only the group of the server's account can enter the folder, to reach the data.
    const forOthers = isRoot && entry === 'cluster' ? 0o067 : 0o077
    if ((mode & forOthers) !== 0) t.fail(`${entry} is open to others: ${(mode & 0o777).toString(8)}`)
  }
  t.equal(await modeOf(join(folder, 'cluster', 'secrets.json')), '600')
})

t.test('of two concurrent first starts one succeeds, and no unfinished folder is used or left', async (t) => {
  const folder = await createDataDir(t)
  await mkdir(join(folder, 'unfinished-abc', 'data'), { recursive: true })
  const starts = await Promise.allSettled([startEmbedded(folder, silent), startEmbedded(folder, silent)])
  const won = starts.filter((start) => start.status === 'fulfilled')
  const lost = starts.filter((start) => start.status === 'rejected')
  t.equal(won.length, 1)
  t.match(String(lost[0]?.reason), /another Silo is running on this folder/)
  t.strictSame(await readdir(folder), ['cluster'])
  for (const { value } of won) {
    t.strictSame(await query(value, 'select 1'), [1])
    await value.stop()
  }
})

t.test('a folder left by kill -9 works again, unless another process has its process id', async (t) => {
  const folder = await createDataDir(t)
  const service = startService(t, { SILO_DATA_DIR: folder })
  await service.url()
  const postmaster = await findPostmaster(folder)
  await service.kill('SIGKILL')
  t.equal(await findPostmaster(folder), postmaster, 'the server is still running')

  const lines: string[] = []
  const second = await startEmbedded(folder, (line) => lines.push(line))
  t.equal(await findPostmaster(folder), postmaster, 'it is taken over')
  t.match(lines, [/still running after a Silo that was killed/])
  t.strictSame(await query(second, 'select count(*)::integer from users'), [1])

  const pidFile = pidFileOf(folder)
  const owner = await stat(pidFile)
  const stale = await readFile(pidFile, 'utf8')
  await second.stop()
  const stranger = spawn('sleep', ['60'], { uid: owner.uid, gid: owner.gid })
  await once(stranger, 'spawn')
  await writeFile(pidFile, stale.replace(/^\d+/, String(stranger.pid)), { mode: 0o600 })
  await lchown(pidFile, owner.uid, owner.gid)
  await t.rejects(startEmbedded(folder, silent), {
    name: 'StartError',
    message: new RegExp(`process ${stranger.pid ?? ''} should be PostgreSQL .* delete ${pidFile}`),
  })
  t.equal(stranger.exitCode, null, 'an unrelated process is left alone')
  stranger.kill()
  await once(stranger, 'exit')

  const third = await startEmbedded(folder, silent)
  t.strictSame(await query(third, 'select count(*)::integer from users'), [1])
  await third.stop()
  t.equal(await findPostmaster(folder), undefined)
})

t.test('a folder with other content is refused and left unchanged', async (t) => {
  const folder = await createDataDir(t)
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'thesis.txt'), '')
  await t.rejects(startEmbedded(folder, silent), {
    name: 'StartError',
    message: /is not empty and contains no Silo database \(found "thesis.txt"\): set SILO_DATA_DIR/,
  })
  t.equal(await modeOf(folder), '755')
  t.strictSame(await readdir(folder), ['thesis.txt'])
  await t.rejects(startEmbedded(join(folder, 'thesis.txt'), silent), {
    name: 'StartError',
    message: /can't use .*thesis.txt/,
  })
})

t.test('a folder that only root can enter works', { skip: !isRoot && 'only root has them' }, async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'silo-root-'))
  t.equal(await modeOf(home), '700')
  const folder = join(home, 'data')
  t.teardown(async () => eventually('the folder to be free', async () => !(await findPostmaster(folder))))
  const embedded = await startEmbedded(folder, silent)
  t.strictSame(await query(embedded, 'select 1'), [1])
  t.not((await stat(join(folder, 'cluster', 'data'))).uid, 0)
  await embedded.stop()
})

/**
 * Reads a file as another user.
 * @returns its text, or the error
 */
async function readAs(uid: number, path: string): Promise<string> {
  try {
    return (await promisify(execFile)('cat', [path], { uid, gid: uid, cwd: '/' })).stdout
  } catch (err) {
    return err instanceof Error && 'stderr' in err ? String(err.stderr) : String(err)
  }
}

async function idOf(user: string): Promise<number> {
  return Number((await promisify(execFile)('id', ['-u', user])).stdout)
}

const ROOT_ONLY = { skip: !isRoot && 'only root gives files away' }

t.test(
  'started as root, its files belong to a user id that nothing else runs as, and its secrets to root',
  ROOT_ONLY,
  async (t) => {
    const folder = await createDataDir(t)
    const home = join(folder, 'cluster')
    const embedded = await startEmbedded(folder, silent)
    const { uid } = await stat(join(home, 'data'))
    await t.rejects(promisify(execFile)('id', ['-u', String(uid)]), 'the user id has no name')
    t.equal((await stat(join(home, 'secrets.json'))).uid, 0)
    const nobody = await idOf('nobody')
    for (const other of [nobody, uid]) {
      t.match(
        await readAs(other, join(home, 'secrets.json')),
        /Permission denied/,
        `secrets.json, user ${other}`,
      )
    }
    for (const file of ['data/PG_VERSION', 'data/pg_hba.conf', 'postgres.log', 'socket/.s.PGSQL.5432.lock']) {
      t.match(await readAs(nobody, join(home, file)), /Permission denied/, file)
    }
    await embedded.stop()
    const again = await startEmbedded(folder, silent)
    t.equal((await stat(join(home, 'data'))).uid, uid, 'the user id stays the same')
    await again.stop()
  },
)

t.test(
  'a folder that an earlier version gave to the user nobody is taken from it at the next start',
  ROOT_ONLY,
  async (t) => {
    const folder = await createDataDir(t)
    const home = join(folder, 'cluster')
    const first = await startEmbedded(folder, silent)
    await query(first, 'create table kept as select 42 as answer')
    await first.stop()
    const nobody = await idOf('nobody')
    for (const entry of ['', ...(await readdir(folder, { recursive: true }))])
      await lchown(join(folder, entry), nobody, nobody)
    await rm(join(home, 'socket'), { recursive: true })

    const second = await startEmbedded(folder, silent)
    t.strictSame(await query(second, 'select answer from kept'), [42])
    t.equal((await stat(join(home, 'secrets.json'))).uid, 0)
    t.match(await readAs(nobody, join(home, 'secrets.json')), /Permission denied/)
    t.match(await readAs(nobody, join(home, 'data', 'PG_VERSION')), /Permission denied/)
    await second.stop()
  },
)

t.test('a folder may have any name, and a path that is too long for a Unix socket', async (t) => {
  const parent = await createDataDir(t)
  await chmod(parent, 0o711)
  const names = [`a b ü 'c' "d" $HOME \`id\`, e`, 'long'.repeat(40)]
  for (const name of names) {
    const folder = join(parent, name)
    const embedded = await startEmbedded(folder, silent)
    t.strictSame(await query(embedded, 'select 42'), [42], name)
    const [, , , , socketFolder = ''] = (await readFile(pidFileOf(folder), 'utf8')).split('\n')
    t.ok(Buffer.byteLength(socketFolder) < 90, socketFolder)
    t.equal(await modeOf(socketFolder), '700')
    await embedded.stop()
    if (!socketFolder.startsWith(folder)) t.notOk(existsSync(socketFolder), 'its socket folder is removed')
  }
})

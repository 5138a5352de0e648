import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cp, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { needs } from '../harness/needs.js'
import { closedOrigin } from '../harness/closed-origin.js'
import { Command, Shell } from '../harness/command.js'
import { PASSWORD } from '../harness/people.js'
import { Site } from '../harness/site.js'
import { eventually } from '../../tools/harness/eventually.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

interface Visit {
  site: Site
  origin: string
  shell: Shell
}

/** Starts a service, and a shell with mara's token. */
async function visit(t: Test, env: Record<string, string> = {}): Promise<Visit> {
  const site = await Site.open(t)
  const { origin } = await site.start()
  return { site, origin, shell: await Shell.open(t, { SILO_URL: origin, SILO_TOKEN: site.token, ...env }) }
}

const isLive = (command: Command) => command.stderr.includes('● live')

t.test('login stores a token, not the password, in a file that only its owner can read', async (t) => {
  const site = await Site.open(t)
  const { origin } = await site.start()
  const shell = await Shell.open(t)
  const signedIn = await shell.run(
    ['login', '--url', `${origin}/`, '--username', 'mara', '--password-stdin'],
    `${PASSWORD}\n`,
  )
  t.equal(signedIn.code, 0, signedIn.stderr)
  t.equal(signedIn.stderr, `Signed in at ${origin} as mara (editor). Saved in ${shell.credentials}.\n`)
  const kept = await readFile(shell.credentials, 'utf8')
  t.match(JSON.parse(kept), { current: origin, logins: { [origin]: { username: 'mara', token: /^silo_/ } } })
  t.notMatch(kept, PASSWORD)
  t.equal((await stat(shell.credentials)).mode & 0o777, 0o600)
  t.equal((await stat(join(shell.credentials, '..'))).mode & 0o777, 0o700)
  const [sessions] =
    await site.sql`select count(*)::int from tokens where kind = 'session' and revoked_at is null`
  t.equal(sessions?.count, 0, 'no session is left')

  await site.send('POST', `${origin}/api/items`, { part_number: 'A01-0001', description: 'Winding unit' })
  const got = await shell.run(['get', 'a01-0001', '--json'])
  t.match(JSON.parse(got.stdout), { part_number: 'A01-0001', created_by: 'mara' }, 'no address is needed')

  t.equal((await shell.run(['logout'])).stderr, `Signed out at ${origin}.\n`)
  t.strictSame(JSON.parse(await readFile(shell.credentials, 'utf8')), { logins: {} })
  const [tokens] =
    await site.sql`select count(*)::int from tokens where name like 'silo on %' and revoked_at is null`
  t.equal(tokens?.count, 0, 'the token is revoked')
})

t.test('logging in again revokes the previous token and what it made without --keep', async (t) => {
  const site = await Site.open(t)
  const { origin } = await site.start()
  const shell = await Shell.open(t)
  const login = ['login', '--url', origin, '--username', 'mara', '--password-stdin']
  const create = async (...more: string[]) => {
    const made = await shell.run(['token', 'create', 'x', ...more], `${PASSWORD}\n`)
    t.equal(made.code, 0, made.stderr)
    return made.stdout.trim()
  }
  const status = async (token: string) =>
    (await fetch(`${origin}/api/auth/me`, { headers: { authorization: `Bearer ${token}` } })).status
  await shell.run(login, `${PASSWORD}\n`)
  const [made, kept] = [await create(), await create('--keep', '--password-stdin')]
  t.equal(await status(made), 200)
  await shell.run(login, `${PASSWORD}\n`)
  const [tokens] =
    await site.sql`select count(*)::int from tokens where name like 'silo on %' and revoked_at is null`
  t.equal(tokens?.count, 1, 'one token of this machine')
  t.equal(await status(made), 401, 'a token that the first login made has ended with it')
  t.equal(await status(kept), 200)
})

t.test('on a terminal login prompts for the password and does not echo it', needs('script'), async (t) => {
  const site = await Site.open(t)
  const { origin } = await site.start()
  const shell = await Shell.open(t)
  const command = shell.startOnTerminal('login', '--url', origin)
  await eventually('the prompt for the username', () => command.stdout.includes('Username: '))
  command.type('mara\r')
  await eventually('the prompt for the password', () => command.stdout.includes('Password: '))
  command.type(`${PASSWORD}\r`)
  const { code, stdout } = await command.ended()
  t.equal(code, 0, stdout)
  t.match(stdout, 'as mara (editor)')
  t.notMatch(stdout, PASSWORD)
})

t.test('every error is one sentence on stderr, with its exit code', async (t) => {
  const { origin, shell } = await visit(t)
  const fails = async (args: string[], code: number, sentence: RegExp | string, who = shell) => {
    const ended = await who.run(args)
    t.equal(ended.code, code, args.join(' '))
    t.match(ended.stderr, sentence)
    t.notMatch(ended.stderr, /\bat .*\.js:\d/, 'no stack')
    t.equal(ended.stdout, '')
  }
  await fails(['get', 'nothing'], 1, 'silo: There is no item with this part number.\n')
  await fails(['get', '%%'], 1, /part_number must match/)
  await fails(['import', 'items.txt'], 2, 'silo: items.txt must be a .csv, .ndjson or .jsonl file.\n')
  await fails(['import', 'none.csv'], 2, 'silo: There is no file none.csv.\n')
  await fails(['tail', '--types', 'item.painted'], 1, /types must be one or more of item.created/)
  await fails(['search', 'a', '--limit', 'all'], 2, /whole number/)
  await fails(['paint'], 2, "unknown command 'paint'")
  await fails(['login'], 2, /not a terminal/)
  await fails(['get', 'x', '--url', 'ftp://here'], 2, /is not a valid address/)
  await fails(['token', 'create', 'mine', '--role', 'admin'], 3, /higher role than yours/)
  const nobody = await closedOrigin()
  const nowhere = ['get', 'x', '--url', nobody]
  await fails(nowhere, 4, `silo: Failed to reach ${nobody}: connection refused.\n`)
  await fails([...nowhere.with(0, 'tail').toSpliced(1, 1)], 4, /Failed to reach/)
  await fails(['get', 'x'], 3, /You are not signed in/, await Shell.open(t, { SILO_URL: origin }))
  const stale = await Shell.open(t, { SILO_URL: origin, SILO_TOKEN: 'silo_no' })
  await fails(['get', 'x'], 3, /You are not signed in/, stale)
  await fails(['login', '--username', 'mara', '--password-stdin'], 1, /password must NOT have fewer/)
})

t.test('a response that breaks off is a lost connection, not another kind of server', async (t) => {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"part_number":', () => request.socket.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const shell = await Shell.open(t, { SILO_URL: `http://127.0.0.1:${port}`, SILO_TOKEN: 'silo_x' })
  const ended = await shell.run(['get', 'x'])
  t.equal(ended.code, 4)
  t.equal(ended.stderr, `silo: Failed to reach http://127.0.0.1:${port}: the connection was closed.\n`)
})

t.test('items are imported, found and shown', async (t) => {
  const { site, shell } = await visit(t)
  const file = join(shell.home, 'parts.csv')
  const rows = ['FDM-0001,y-gantry,part,red', 'FDM-0002,x-gantry,part,', 'A01-0001,Winding unit,assembly,']
  await writeFile(file, `Part Number,Part Name,Type,Colour\n${rows.join('\n')}\n`)

  const dry = await shell.run(['import', file, '--dry-run'])
  t.equal(dry.stdout, 'Dry run, nothing was written: 3 created, 0 updated, 0 skipped, 0 unchanged.\n')
  t.equal((await site.readLog()).length, 0)
  const imported = await shell.run(['import', file])
  t.equal(imported.stdout, '3 created, 0 updated, 0 skipped, 0 unchanged.\n')
  t.equal(imported.code, 0)
  t.equal(imported.stderr, '', 'no progress bar without a terminal')

  await writeFile(file, 'Part Number,Type\nFDM-0003,part\nFDM-0004,ship\n')
  const refused = await shell.run(['import', file])
  t.equal(refused.code, 1)
  t.match(
    refused.stderr,
    /^row 2: item_type must be one of part, .*\nsilo: Nothing was imported: 1 error.\n$/,
  )

  const found = await shell.run(['search', 'gantry', 'FDM'])
  t.strictSame(
    found.stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [['FDM-0001', 'part', 'rev 1', 'y-gantry'], ['FDM-0002', 'part', 'rev 1', 'x-gantry'], ['']],
  )
  const first = await shell.run(['search', 'gantry', '--limit', '1', '--json'])
  t.match(JSON.parse(first.stdout), { part_number: 'FDM-0001' })
  t.match(first.stderr, 'Only the first')
  t.equal((await shell.run(['search', 'nothing'])).stderr, 'No items found.\n')
  const shown = await shell.run(['get', 'FDM-0001'])
  t.match(
    shown.stdout,
    /^FDM-0001 {2}y-gantry\n {2}type +part\n {2}revision +1\n {2}changed .* by mara\n.*colour +red\n$/is,
  )
})

t.test('token create writes nothing but the token to stdout, so that it can be piped', async (t) => {
  const { site, origin, shell } = await visit(t)
  const { stdout, stderr } = await shell.run(['token', 'create', 'bridge', '--role', 'viewer', '--days', '3'])
  t.match(stdout, /^silo_\S+\n$/)
  t.match(stderr, /^Token with the role viewer, valid until \d{4}-\d\d-\d\d/)
  const me = await fetch(`${origin}/api/auth/me`, { headers: { authorization: `Bearer ${stdout.trim()}` } })
  t.match(await me.json(), { username: 'mara', role: 'viewer' })
  const [row] =
    await site.sql`select expires_at < now() + interval '4 days' as soon from tokens where name = 'bridge'`
  t.equal(row?.soon, true)
})

t.test('tail prints past and new events, filtered, as text or as JSON', async (t) => {
  const { site, origin, shell } = await visit(t)
  const create = (part_number: string, description: string) =>
    site.send('POST', `${origin}/api/items`, { part_number, description })
  await create('A01-0001', 'Winding unit\nwith \x1b[31mred\x1b[0m and \u202eturned text')
  const everything = shell.start('tail', '--since', 'earliest')
  const some = shell.start(
    'tail',
    '--json',
    '--types',
    'item.created,item.deleted',
    '--part',
    'A01-*',
    '--part',
    'B-1',
  )
  await eventually('the connections', () => isLive(everything) && isLive(some))
  await site.send('PUT', `${origin}/api/items/A01-0001`, { description: 'Winder', comment: 'Shorter' })
  await create('C-1', 'not asked for')
  await create('B-1', 'asked for')
  await site.send('DELETE', `${origin}/api/items/A01-0001`)
  await eventually('the events', () => everything.lines.length >= 6 && some.lines.length >= 2)
  t.strictSame(
    everything.lines.map((line) => line.replace(/^[\d:]{8} {2}/, '').replace(/ {2,}/g, ' | ')),
    [
      'item.created | A01-0001 | part | Winding unit with \ufffd[31mred\ufffd[0m and \ufffdturned text ' +
        '| · mara',
      'item.updated | A01-0001 | revision 2 | · mara',
      'revision.created | A01-0001 | revision 2 | Shorter | · mara',
      'item.created | C-1 | part | not asked for | · mara',
      'item.created | B-1 | part | asked for | · mara',
      'item.deleted | A01-0001 | archived | · mara',
    ],
  )
  t.match(
    some.lines.map((line) => JSON.parse(line) as unknown),
    [
      {
        id: /^[0-9a-f]{8}-5-[0-9a-f]{8}$/,
        type: 'item.created',
        data: { part_number: 'B-1', actor: 'mara' },
      },
      { type: 'item.deleted', data: { part_number: 'A01-0001' } },
    ],
  )
  t.equal(some.lines.length, 2)
})

t.test('tail reconnects by itself after the service was killed, and misses no event', async (t) => {
  const site = await Site.open(t)
  const first = await site.start()
  const shell = await Shell.open(t, { SILO_URL: first.origin, SILO_TOKEN: site.token })
  const create = async (origin: string, part_number: string) =>
    t.equal((await site.send('POST', `${origin}/api/items`, { part_number })).status, 201)
  const command = shell.start('tail', '--json')
  await eventually('the connection', () => isLive(command))
  await create(first.origin, 'before')
  await eventually('the first', () => command.lines.length === 1)
  await first.service.kill('SIGKILL')
  await eventually('the loss', () =>
    /○ connection lost: .+\n◌ reconnecting \(1\) in \d s…\n/.test(command.stderr),
  )
  await site.sql`insert into items (part_number) values ('meanwhile')`
  const second = await site.start({ PORT: new URL(first.origin).port })
  await create(second.origin, 'after')
  await eventually('the rest', () => command.lines.length >= 3)
  const numbers = command.lines.map(
    (line) => (JSON.parse(line) as { data: { part_number: string } }).data.part_number,
  )
  t.strictSame(numbers, ['before', 'meanwhile', 'after'])
  t.equal(command.stderr.match(/● live/g)?.length, 2)

  t.equal((await site.send('PUT', `${second.origin}/api/server/mode`, { mode: 'read-only' })).status, 403)
  await site.sql`update server_settings set mode = 'read-only'`
  await eventually('the mode', () => command.stderr.includes('! read-only: items can’t be changed'))
  await site.sql`update tokens set revoked_at = now()`
  await eventually('the end', () => command.child.exitCode !== null)
  t.equal((await command.ended()).code, 3, 'it exits when its token is revoked')
})

t.test('only a terminal gets colours and a bar; NO_COLOR disables colours', needs('script'), async (t) => {
  const { shell } = await visit(t)
  const file = join(shell.home, 'parts.csv')
  await writeFile(file, 'Part Number\nA-1\n')
  const onTerminal = await shell.startOnTerminal('import', file).ended()
  t.match(onTerminal.stdout, /░{30} {3}0 % {2}0\.0 MB of 0\.0 MB sent/)
  t.match(onTerminal.stdout, /█{30} 100 % {2}sent; waiting for the server…/)
  t.match(onTerminal.stdout, '1 created')
  t.match((await shell.startOnTerminal('get', 'A-1').ended()).stdout, '\x1b[1mA-1')
  t.notMatch((await shell.run(['get', 'A-1'])).stdout, '\x1b')
  const plain = await Shell.open(t, { ...shell.env, NO_COLOR: '1' })
  t.notMatch((await plain.startOnTerminal('get', 'A-1').ended()).stdout, '\x1b')
})

t.test('a closed output pipe ends tail without an error', async (t) => {
  const { site, origin, shell } = await visit(t)
  await site.send('POST', `${origin}/api/items`, { part_number: 'A-1' })
  const command = shell.start('tail', '--since', 'earliest')
  command.child.stdout?.destroy()
  t.equal((await command.ended()).code, 0)
  t.notMatch(command.stderr, 'EPIPE')
})

t.test('in a fresh clone npx finds the command, and builds it on first use', async (t) => {
  const clone = join((await Shell.open(t)).home, 'silo')
  // The sources of the command. The rest of the project takes most of the time of a build, and is built
  // by `npm test`.
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'cli', 'lib']) {
    await cp(join(ROOT, name), join(clone, name), { recursive: true })
  }
  await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
  const npx = () =>
    new Command(
      t,
      spawn('npx', ['silo', '--help'], {
        cwd: clone,
        env: { PATH: process.env.PATH, HOME: clone, npm_config_offline: 'true' },
        stdio: 'pipe',
      }),
    ).ended()
  const first = await npx()
  t.equal(first.code, 0, first.stderr)
  t.match(first.stderr, 'building (first run only)')
  t.match(first.stdout, /^Usage: silo/)
  const second = await npx()
  t.equal(second.stderr, '')
  t.equal(second.stdout, first.stdout)
})

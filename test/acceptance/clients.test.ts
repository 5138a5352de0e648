import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { type FeedEvent, follow } from '../../examples/follow.js'
import { pages } from '../../examples/pages.js'
import { testInBrowser } from '../harness/browser.js'
import { ClientProcess } from '../harness/client-process.js'
import { isInstalled, needs } from '../harness/needs.js'
import { PASSWORD } from '../harness/people.js'
import { Site } from '../harness/site.js'
import { closedOrigin } from '../harness/closed-origin.js'
import { eventually } from '../../tools/harness/eventually.js'

/** A client program: its name, and the events that it has received so far. */
interface Client {
  name: string
  seen: () => FeedEvent[]
}

const KEYS = {
  'item.created': ['part_number', 'description', 'item_type', 'actor', 'at'],
  'item.updated': ['part_number', 'revision', 'actor', 'at'],
  'revision.created': ['part_number', 'revision_number', 'comment', 'actor', 'at'],
  'item.deleted': ['part_number', 'actor', 'at'],
  'server.state': ['mode'],
  heartbeat: [],
}

const readDocument = () => readFile(new URL('docs/clients.md', import.meta.resolve('#root')), 'utf8')

const isLogged = ({ type }: FeedEvent) => /^(item|revision)\./.test(type)

async function startCurl(t: Test, origin: string, token: string): Promise<Client[]> {
  if (!isInstalled('curl')) {
    t.pass('curl', needs('curl'))
    return []
  }
  const curl = await ClientProcess.start(t, 'sh', 'follow.sh', { SILO_URL: origin, SILO_TOKEN: token })
  return [{ name: 'curl', seen: () => curl.frames }]
}

/**
 * Starts the Python client twice: with a given API token, and, as a desktop client would run it, signed in by
 * the login form with a token that it creates itself.
 */
async function startPython(t: Test, origin: string, token: string): Promise<Client[]> {
  if (!isInstalled('python3')) {
    t.pass("Python's urllib", needs('python3'))
    return []
  }
  const given = await ClientProcess.start(t, 'python3', 'follow.py', { SILO_URL: origin, SILO_TOKEN: token })
  const own = await ClientProcess.start(t, 'python3', 'follow.py', {
    SILO_URL: origin,
    SILO_USERNAME: 'mara',
    SILO_PASSWORD: PASSWORD,
  })
  await eventually('the sign-in', () => own.stderr.includes('signed in as mara'))
  return [
    { name: "Python's urllib", seen: () => given.lines },
    { name: "Python's urllib, signed in by the form", seen: () => own.lines },
  ]
}

function startEventSource(t: Test, origin: string, token: string): Client {
  const seen: FeedEvent[] = []
  const source = follow(origin, token, (event) => seen.push(event))
  t.teardown(() => source.close())
  return { name: "undici's EventSource", seen: () => seen }
}

async function startClients(t: Test, origin: string, token: string): Promise<Client[]> {
  const clients = [
    ...(await startCurl(t, origin, token)),
    ...(await startPython(t, origin, token)),
    startEventSource(t, origin, token),
  ]
  await Promise.all(clients.map(({ name, seen }) => eventually(name, () => seen().length > 0)))
  return clients
}

/** Reads the log in JSON pages from the beginning until the test ends. */
function startPages(t: Test, origin: string, token: string): Client {
  const seen: FeedEvent[] = []
  const stop = new AbortController()
  const following = (async () => {
    for await (const { events } of pages(origin, token, 'earliest', stop.signal)) seen.push(...events)
  })()
  t.teardown(async () => {
    stop.abort()
    await following
  })
  return { name: 'JSON pages', seen: () => seen }
}

t.test('every client receives all six event types with exactly the documented keys', async (t) => {
  const site = await Site.open(t)
  const { origin } = await site.start({ HEARTBEAT_MS: '1000' })
  const clients = await startClients(t, origin, site.token)
  const bridge = startPages(t, origin, site.token)

  const item = { part_number: 'A01-0002', description: 'FILAMENT WINDING UNIT ASSY', item_type: 'assembly' }
  t.equal((await site.send('POST', `${origin}/api/items`, item)).status, 201)
  const change = { properties: { weight: 2 }, comment: 'Updated weight' }
  t.equal((await site.send('PUT', `${origin}/api/items/A01-0002`, change)).status, 200)
  t.equal((await site.send('DELETE', `${origin}/api/items/A01-0002`)).status, 204)

  for (const { name, seen } of clients) {
    await eventually(`what ${name} sees`, () => {
      const types = seen().map(({ type }) => type)
      return types.includes('item.deleted') && types.includes('heartbeat')
    })
    const all = seen()
    t.strictSame(new Set(all.map(({ type }) => type)), new Set(Object.keys(KEYS)), name)
    for (const [type, keys] of Object.entries(KEYS)) {
      const { data } = all.find((event) => event.type === type) ?? {}
      t.strictSame(Object.keys(data ?? {}), keys, `${name}: ${type}`)
    }
    t.ok(
      all.every(({ id }) => /^[0-9a-f]{8}-\d+-[0-9a-f]{8}$/.test(id)),
      `${name}: every event has an id`,
    )
    t.match(all[0], { type: 'server.state', data: { mode: 'normal' } })
    const by = { actor: 'mara', at: /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/ }
    t.match(all.filter(isLogged), [
      { type: 'item.created', data: { ...item, ...by } },
      { type: 'item.updated', data: { part_number: 'A01-0002', revision: 2, ...by } },
      {
        type: 'revision.created',
        data: { part_number: 'A01-0002', revision_number: 2, comment: 'Updated weight', ...by },
      },
      { type: 'item.deleted', data: { part_number: 'A01-0002', ...by } },
    ])
    t.equal(all.filter(isLogged).length, 4, `${name}: no other event`)
  }
  await eventually('the pages', () => bridge.seen().length >= 4)
  t.strictSame(bridge.seen(), clients[0]?.seen().filter(isLogged), 'the JSON pages have the same events')
})

t.test(
  'every client reconnects by itself after a restart, and receives each event exactly once',
  async (t) => {
    const site = await Site.open(t)
    const first = await site.start()
    const clients = [
      ...(await startClients(t, first.origin, site.token)),
      startPages(t, first.origin, site.token),
    ]
    const create = async (origin: string, part_number: string) =>
      t.equal((await site.send('POST', `${origin}/api/items`, { part_number })).status, 201)

    await create(first.origin, 'before')
    for (const { name, seen } of clients) await eventually(name, () => seen().some(isLogged))
    await first.service.kill('SIGKILL')
    await site.sql`insert into items (part_number) values ('meanwhile')`
    const second = await site.start({ PORT: new URL(first.origin).port })
    await create(second.origin, 'after')

    for (const { name, seen } of clients) {
      const numbers = () =>
        seen()
          .filter(isLogged)
          .map(({ data }) => (data as { part_number: string }).part_number)
      await eventually(name, () => numbers().includes('after'))
      t.strictSame(numbers(), ['before', 'meanwhile', 'after'], name)
    }
  },
)

/**
 * Runs `script`, which can import Python's client as a module.
 * @returns what it prints
 */
async function runPython(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('python3', ['-c', script, ...args], {
    cwd: new URL('examples/', import.meta.resolve('#root')),
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1' },
  })
  return stdout
}

t.test('the Python example client', needs('python3'), async (t) => {
  t.test('retries ten times, first after 1 s, doubling up to 60 s, and then gives up', async (t) => {
    const script = [
      'import follow, sys',
      'follow.time.sleep = lambda s: print(s, end=" ")',
      'print(list(follow.follow(sys.argv[1], "token")))',
    ]
    t.equal(await runPython(script.join('\n'), await closedOrigin()), '1 2 4 8 16 32 60 60 60 []\n')
  })

  t.test('reports that there is no feed, and does not retry', async (t) => {
    const site = await Site.open(t)
    const { origin } = await site.start()
    const env = { SILO_URL: `${origin}/older`, SILO_TOKEN: site.token }
    const client = await ClientProcess.start(t, 'python3', 'follow.py', env)
    await eventually('the end', () => client.stderr.includes('no live updates here'))
    t.equal(client.stderr, 'no live updates here\n')
  })

  t.test('disables saving whenever the mode is not normal', async (t) => {
    const site = await Site.open(t)
    const { origin } = await site.start()
    const client = await ClientProcess.start(t, 'python3', 'follow.py', {
      SILO_URL: origin,
      SILO_TOKEN: site.token,
    })
    await eventually('the connection', () => client.stderr === 'saving is on\n')
    await site.sql`update server_settings set mode = 'read-only'`
    await eventually('the mode', () => client.stderr.includes('off'))
    await site.sql`update server_settings set mode = 'normal'`
    await eventually('the mode', () => client.stderr.endsWith('off\nsaving is on\n'))
    t.equal(client.stderr, 'saving is on\nsaving is off\nsaving is on\n')
  })
})

await testInBrowser(t, (browser) => {
  t.test('the EventSource example of docs/clients.md works in a browser', async (t) => {
    const [, script = ''] = /```js\n([^]*?)```/.exec(await readDocument()) ?? []
    const site = await Site.open(t)
    const { origin } = await site.start()
    await site.send('POST', `${origin}/api/items`, { part_number: 'A-1' })
    const page = await browser.newPage()
    t.teardown(() => page.close())
    await page.goto(`${origin}/login`)
    await page.getByLabel('Username').fill('mara')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${origin}/`)

    // The functions that the document leaves to the page: each records its calls.
    await page.goto(`${origin}/docs`)
    const told = await page.evaluateHandle<string[]>(`
    globalThis.told = [];
    const tell = (name) => (what) => void told.push(name + ' ' + JSON.stringify(what.part_number ?? what));
    const show = (items) => tell('show')(items.map((item) => item.part_number));
    const add = tell('add'), refresh = tell('refresh'), remove = tell('remove');
    const allowSaving = tell('allowSaving');
    (async () => { ${script} })();
    told
  `)
    const seen = () => told.jsonValue()
    await eventually('the stream', async () => (await seen()).includes('allowSaving true'))
    await site.send('POST', `${origin}/api/items`, { part_number: 'A-2' })
    await site.send('PUT', `${origin}/api/items/A-2`, { description: 'x' })
    await site.send('DELETE', `${origin}/api/items/A-1`)
    await eventually('the rest', async () => (await seen()).length >= 5)
    t.strictSame(await seen(), [
      'show ["A-1"]',
      'allowSaving true',
      'add "A-2"',
      'refresh "A-2"',
      'remove "A-1"',
    ])
  })
})

t.test('the curl command of docs/clients.md exports all items as CSV', needs('curl'), async (t) => {
  const [, line = ''] = /^(curl .*text\/csv.*)$/m.exec(await readDocument()) ?? []
  const site = await Site.open(t)
  const { origin } = await site.start()
  await site.send('POST', `${origin}/api/items`, { part_number: 'A-1', properties: { colour: 'red' } })
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', line.replace('http://127.0.0.1:8080', origin).replace('-o items.csv', '-s')],
    { env: { PATH: process.env.PATH, SILO_TOKEN: site.token } },
  )
  const [header = '', row = ''] = stdout.split(/\r?\n/)
  t.match(header, /part_number.*colour/)
  t.match(row, /^A-1,.*red/)
})

t.test('docs/clients.md links every example file, and no other', async (t) => {
  const text = await readDocument()
  const named = [...text.matchAll(/\(\.\.\/(examples\/[^)]+)\)/g)].map(([, path]) => path ?? '')
  t.strictSame(
    [...new Set(named)].sort(),
    ['follow.py', 'follow.sh', 'follow.ts', 'pages.ts'].map((file) => `examples/${file}`),
  )
  for (const path of named) t.ok(await readFile(new URL(path, import.meta.resolve('#root'))), path)
})

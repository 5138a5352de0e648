import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Acknowledged } from '../../tools/fuzz/acknowledged.js'
import { readDocument } from '../../tools/fuzz/document.js'
import { FeedWatch } from '../../tools/fuzz/feed-watch.js'
import { Judge } from '../../tools/fuzz/judge.js'
import type { Known } from '../../tools/fuzz/requests.js'
import { runFuzz } from '../../tools/fuzz/run.js'
import { search } from '../../tools/fuzz/search.js'
import { Turnstile } from '../../tools/fuzz/turnstile.js'
import { Vitals } from '../../tools/fuzz/vitals.js'
import { eventually } from '../../tools/harness/eventually.js'
import { secretOf } from '../../tools/harness/tokens.js'
import { Connection, type Pace, type Request } from '../../tools/fuzz/wire.js'

const THING = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }
const ERROR = {
  type: 'object',
  required: ['error', 'message', 'details'],
  properties: { error: { type: 'string' }, message: { type: 'string' }, details: { type: 'array' } },
}
const operations = readDocument(
  JSON.stringify({
    paths: {
      '/things/{name}': {
        get: {
          parameters: [{ in: 'path', name: 'name', required: true, schema: { type: 'string' } }],
          responses: {
            200: { content: { 'application/json': { schema: THING } } },
            204: {},
            '4XX': { content: { 'application/json': { schema: ERROR } } },
            '5XX': { content: { 'application/json': { schema: ERROR } } },
          },
        },
      },
      '/stream': { get: { responses: { 200: { content: { 'text/event-stream': { schema: {} } } } } } },
    },
  }),
)
const judge = new Judge(operations)
const known: Known = { credentials: ['Bearer x'], valuesFor: () => undefined, exclusive: {}, pointless: {} }
const things = operations.filter(({ path }) => path.startsWith('/things'))

const request = (target: string): Request => ({ method: 'GET', target, headers: [['host', 'silo.example']] })

const errorBody = (error: string, message = '') => JSON.stringify({ error, message, details: [] })

/**
 * Starts a server for this test.
 * @returns its port
 */
async function serve(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<number> {
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, answer)
  server.on('clientError', (_, socket) => {
    const body = errorBody('invalid_request')
    socket.end(
      'HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n' +
        `connection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
  })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** Returns the judge's findings about a response that a server sends. */
async function verdictOn(
  t: Test,
  status: number,
  headers: Record<string, string>,
  body: string | Buffer,
  target = '/things/a',
): Promise<string[]> {
  const port = await serve(t, (_, response) => response.writeHead(status, headers).end(body))
  const connection = new Connection(port)
  t.teardown(() => connection.close())
  return judge.judge(request(target), await connection.ask(request(target)))
}

const json = { 'content-type': 'application/json; charset=utf-8' }
const gzip = { ...json, 'content-encoding': 'gzip' }

t.test('a response that conforms to the OpenAPI document has no findings', async (t) => {
  t.strictSame(await verdictOn(t, 200, json, '{"n":1}'), [])
  t.strictSame(await verdictOn(t, 204, {}, ''), [])
  t.strictSame(await verdictOn(t, 400, json, errorBody('invalid_request')), [])
  t.strictSame(await verdictOn(t, 404, json, errorBody('not_found'), '/nowhere'), [])
  t.strictSame(await verdictOn(t, 200, gzip, gzipSync('{"n":1}')), [])
})

const wrong: [
  what: string,
  RegExp,
  status: number,
  headers: Record<string, string>,
  body: string | Buffer,
][] = [
  ['a 500', /the status is 500/, 500, json, errorBody('internal')],
  ['a 503 without a reason', /not available/, 503, json, errorBody('database_unavailable')],
  ['an undeclared status', /no response 302/, 302, {}, ''],
  ['an undeclared content type', /no content type "text\/plain"/, 200, { 'content-type': 'text/plain' }, 'x'],
  ['a value of another type', /must be integer/, 200, json, '{"n":"1"}'],
  ['an undeclared field', /additional properties/, 200, json, '{"n":1,"password_hash":""}'],
  ['a truncated body', /not JSON/, 200, json, '{"n":1'],
  ['bytes that are not UTF-8', /not UTF-8/, 400, json, Buffer.from(errorBody('not_found', '\xff'), 'latin1')],
  ['a wrong value in a compressed body', /must be integer/, 200, gzip, gzipSync('{"n":"1"}')],
  ['a body in another coding than its header names', /not in the coding "gzip"/, 200, gzip, '{"n":1}'],
  [
    'an error code with the status of another',
    /not the status of not_found/,
    400,
    json,
    errorBody('not_found'),
  ],
  ['an unknown error code', /not the status of oops/, 400, json, errorBody('oops')],
  ['a 401 without WWW-Authenticate', /without WWW-Authenticate/, 401, json, errorBody('unauthenticated')],
  [
    'SQL in a message',
    /shows SQL/,
    400,
    json,
    errorBody('invalid_request', 'syntax error at or near "drop"'),
  ],
  [
    'a stack trace in a message',
    /shows a stack/,
    400,
    json,
    errorBody('invalid_request', 'at insertItem (file:///srv/store/items.js:1:2)'),
  ],
  [
    'a password hash in a message',
    /hash of a password/,
    400,
    json,
    errorBody('invalid_request', '$scrypt$ln=15,r=8,p=3$x$y'),
  ],
  ['an injected header', /out of a header/, 200, { ...json, 'x-injected': '1' }, '{"n":1}'],
]
for (const [what, sentence, status, headers, body] of wrong) {
  t.test(`the judge finds ${what}`, async (t) => {
    t.match((await verdictOn(t, status, headers, body)).join('\n'), sentence)
  })
}

t.test('the judge finds a broken frame and an unknown event type', async (t) => {
  const stream = (body: string) => verdictOn(t, 200, { 'content-type': 'text/event-stream' }, body, '/stream')
  t.strictSame(await stream('id: x-1\nevent: heartbeat\ndata: {}\n\n'), [])
  t.match(await stream('evil\ndata: {}\n\n'), [/no client knows the field "evil"/])
  t.match(await stream('event: heartbeat\ndata: {"a":1}\n\n'), [/additional properties/])
  t.match(await stream('event: evil\ndata: {}\n\n'), [/no event of type "evil"/])
})

t.test('bytes after the end of a response are found', async (t) => {
  const port = await serve(t, ({ socket }, response) => {
    response.writeHead(200, { ...json, 'content-length': '7' }).end('{"n":1}')
    socket.write('x: y\r\n\r\n')
  })
  const connection = new Connection(port)
  t.teardown(() => connection.close())
  await connection.ask(request('/things/a'))
  await t.rejects(connection.ask(request('/things/a')), /bytes follow a response|the status line is/)
})

t.test('a connection that the server has closed after a response is not used again', async (t) => {
  const port = await serve(t, ({ socket }, response) => {
    response.writeHead(200, { ...json, 'content-length': '7' }).end('{"n":1}', () => socket.destroy())
  })
  const connection = new Connection(port)
  t.teardown(() => connection.close())
  for (let i = 0; i < 3; i++) {
    t.equal((await connection.ask(request('/things/a'))).status, 200)
    // The end of the connection arrives with the next read of sockets.
    for (let turn = 0; turn < 10; turn++) await setImmediate()
  }
})

t.test('one bad response among many is found, and its request is shrunk', async (t) => {
  const port = await serve(t, ({ method, url = '' }, response) => {
    if (method !== 'GET' || !/^\/things\/[^/?#]*$/.test(url)) {
      response.writeHead(404, json).end(errorBody('not_found'))
    } else if (url.includes('%00')) response.writeHead(500, json).end(errorBody('internal'))
    else response.writeHead(200, json).end('{"n":1}')
  })
  const { findings, cases } = await search({ port, operations: things, known, judge, cases: 1500, seed: 1 })
  t.ok(cases >= 1)
  const finding = findings.find(({ what }) => what.includes('the status is 500'))
  t.match(finding, { operation: 'GET /things/{name}', counterexample: { target: /%00/ } })
})

/**
 * Runs a search against a process with the probe that runs `handle` for each request and responds correctly.
 */
async function searchProcess(t: Test, handle: string) {
  const probe = new URL('dist/tools/fuzz/probe.js?pause=500', import.meta.resolve('#root')).href
  const script = `
    import { createServer } from 'node:http'
    const kept = []
    const json = { 'content-type': 'application/json' }
    const refusal = error => JSON.stringify({ error, message: '', details: [] })
    const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
      ${handle}
      if (request.method === 'GET' && /^\\/things\\/[^/?#]*$/.test(request.url))
        response.writeHead(200, json).end('{"n":1}')
      else response.writeHead(404, json).end(refusal('not_found'))
    })
    server.on('clientError', (_, socket) => {
      const body = refusal('invalid_request')
      const head = ['HTTP/1.1 400 Bad Request', 'content-type: application/json', 'connection: close']
      socket.end([...head, 'content-length: ' + body.length, '', body].join('\\r\\n'))
    })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))`
  const args = ['--import', probe, '--input-type=module', '--eval', script]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  t.teardown(() => child.kill())
  if (!child.stdout) throw new Error('the process has no output')
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const vitals = new Vitals(child)
  return search({ port: Number(port), operations: things, known, judge, vitals, cases: 300, seed: 1 })
}

t.test('a request that blocks the event loop for two seconds is reported', async (t) => {
  const spin = 'if (request.headers.range) for (const end = Date.now() + 2000; Date.now() < end; );'
  const { findings, longestPauseMs } = await searchProcess(t, spin)
  const stalls = findings.filter(({ what }) => what.includes('stood still'))
  t.ok(stalls.length > 0)
  for (const { what, counterexample } of stalls) {
    t.match(what, /the event loop stood still for [12]\d{3} ms/)
    t.ok(counterexample?.headers.some(([name]) => name === 'range'))
  }
  t.ok(longestPauseMs > 1000)
})

t.test('a request that leaks memory is reported', async (t) => {
  const { findings } = await searchProcess(t, 'kept.push(Buffer.alloc(256 * 1024, 1))')
  const leak = findings.find(({ what }) => what.includes('this request leaves'))
  t.match(leak?.what, /leaves 2\d\d KiB each time/)
  t.equal(leak?.counterexample?.method, 'GET')
})

t.test('a service that neither blocks nor grows has no findings', async (t) => {
  const { findings } = await searchProcess(t, '')
  t.strictSame(
    findings.filter(({ what }) => /stood still|memory/.test(what)),
    [],
  )
})

t.test('a body is sent at the pace of its request, and the response is read at each pace', async (t) => {
  const seen: string[] = []
  const port = await serve(t, (request, response) => {
    let body = ''
    let pieces = 0
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
      pieces++
    })
    request.on('end', () => {
      seen.push(`${pieces > 1 ? 'in pieces' : 'at once'}: ${body}`)
      response.writeHead(200, json).end('{"n":1}')
    })
    request.on('aborted', () => seen.push(`aborted: ${body}`))
    request.on('error', () => undefined)
  })
  const send = async (pace: Pace) => {
    const connection = new Connection(port)
    const body = { text: '0123456789', encoding: 'utf8' as const }
    const answer = connection.ask({ ...request('/things/a'), method: 'POST', body, pace })
    const status = await answer.then(({ status }) => status).catch(() => 'no response')
    connection.close()
    return status
  }
  t.equal(await send('held'), 200)
  t.equal(await send('bytes'), 200)
  t.equal(await send('shorter'), 400)
  t.equal(await send('abandoned'), 'no response')
  await eventually('the server to notice', () => seen.length === 4)
  t.match(seen, [
    'at once: 0123456789',
    'in pieces: 0123456789',
    'aborted: 0123456789',
    'aborted: 0123456789',
  ])
  // The excess bytes are an incomplete second request: whichever response comes first is read.
  t.match(String(await send('longer')), /^(200|400)$/)
})

t.test('a turnstile runs exclusive work alone', async (t) => {
  const turnstile = new Turnstile()
  const log: string[] = []
  const work = (name: string) => async () => {
    log.push(`${name} begins`)
    await setImmediate()
    log.push(`${name} ends`)
  }
  await Promise.all([
    turnstile.beside(work('a')),
    turnstile.beside(work('b')),
    turnstile.alone(work('c')),
    turnstile.alone(work('d')),
    turnstile.beside(work('e')),
  ])
  const at = log.indexOf('c begins')
  t.strictSame(log.slice(0, at).sort(), ['a begins', 'a ends', 'b begins', 'b ends'])
  t.equal(log[at + 1], 'c ends')
  t.equal(log[log.indexOf('d begins') + 1], 'd ends')
  t.equal(log.length, 10)
})

t.test('a feed watch accepts whole frames, and finds broken and missing events', async (t) => {
  const watch = async (stream: string, lastId: string) => {
    const port = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(stream)
    })
    const watch = await FeedWatch.open(port, 'Bearer x')
    t.teardown(() => watch.close())
    await watch.settle(lastId, 500)
    return { watch, verdict: await watch.verdict(judge) }
  }
  const by = '"part_number":"A-1","actor":"mara","at":"2026-11-24T04:12:18.583Z"'
  const created = `id: x-1\nevent: item.created\ndata: {"description":"d","item_type":"part",${by}}\n\n`
  const good = await watch(created, 'x-1')
  t.strictSame(good.verdict, [])
  t.match((await watch(created, 'x-2')).verdict, [/the feed stays at x-1, the log is at x-2/])
  t.match((await watch(created.replace('"d"', '"a\nb"'), 'x-1')).verdict.join(), /no client knows the field/)
  t.match((await watch(created.replace('"d"', '"\t"'), 'x-1')).verdict.join(), /control character/)

  const acknowledged = new Acknowledged()
  const create: Request = { method: 'POST', target: '/api/items', headers: [] }
  const answer = (number: string) => ({
    status: 201,
    headers: new Map<string, string>(),
    body: Buffer.from(JSON.stringify({ part_number: number })),
    complete: true,
  })
  acknowledged.note(create, answer('A-1'))
  t.strictSame(acknowledged.compare(good.watch.logged), [])
  acknowledged.note(create, answer('A-2'))
  t.match(acknowledged.compare(good.watch.logged).join('\n'), /not on the feed: .*a-2/)
})

t.test('a recorded request of a user is accepted in a later run', async (t) => {
  const { byStatus, findings, problems } = await runFuzz({
    cases: 1,
    seed: 1,
    request: {
      method: 'GET',
      target: '/api/items?limit=1',
      headers: [
        ['host', 'silo.example'],
        ['authorization', `Bearer ${secretOf('fuzz-99')}`],
      ],
    },
    interrupted: new AbortController().signal,
  })
  t.strictSame(Object.keys(byStatus), ['200'])
  t.strictSame([...findings, ...problems], [])
})

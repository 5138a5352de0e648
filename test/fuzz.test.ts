import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Acknowledged } from '../fuzz/acknowledged.js'
import { readDocument } from '../fuzz/document.js'
import { FeedWatch } from '../fuzz/feed-watch.js'
import { Judge } from '../fuzz/judge.js'
import type { Known } from '../fuzz/requests.js'
import { search } from '../fuzz/search.js'
import { Connection, type Request } from '../fuzz/wire.js'

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

const request = (target: string): Request => ({ method: 'GET', target, headers: [['host', 'silo.example']] })

const errorBody = (error: string, message = '') => JSON.stringify({ error, message, details: [] })

/** A server of the test's own; its port. */
async function serve(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<number> {
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, answer)
  server.on('clientError', (_, socket) => {
    const body = errorBody('invalid_request')
    socket.end(
      `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
  })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** What the judge says of an answer as it comes from a server. */
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

t.test('what is as the document says is let pass', async (t) => {
  t.strictSame(await verdictOn(t, 200, json, '{"n":1}'), [])
  t.strictSame(await verdictOn(t, 204, {}, ''), [])
  t.strictSame(await verdictOn(t, 400, json, errorBody('invalid_request')), [])
  t.strictSame(await verdictOn(t, 404, json, errorBody('not_found'), '/nowhere'), [])
})

const wrong: [
  what: string,
  RegExp,
  status: number,
  headers: Record<string, string>,
  body: string | Buffer,
][] = [
  ['a 500', /the answer is 500/, 500, json, errorBody('internal')],
  ['a 503 without a reason', /not available/, 503, json, errorBody('database_unavailable')],
  ['a status that is not described', /no answer 302/, 302, {}, ''],
  ['another content type', /no content type "text\/plain"/, 200, { 'content-type': 'text/plain' }, 'x'],
  ['a value of another type', /must be integer/, 200, json, '{"n":"1"}'],
  ['a field too many', /additional properties/, 200, json, '{"n":1,"password_hash":""}'],
  ['a body that is cut short', /not JSON/, 200, json, '{"n":1'],
  ['bytes that are not UTF-8', /not UTF-8/, 400, json, Buffer.from(errorBody('not_found', '\xff'), 'latin1')],
  ['an error of another status', /not the status of not_found/, 400, json, errorBody('not_found')],
  ['an error that is none', /not the status of oops/, 400, json, errorBody('oops')],
  ['a 401 that does not say how', /without WWW-Authenticate/, 401, json, errorBody('unauthenticated')],
  ['SQL', /shows SQL/, 400, json, errorBody('invalid_request', 'syntax error at or near "drop"')],
  [
    'a stack',
    /shows a stack/,
    400,
    json,
    errorBody('invalid_request', 'at insertItem (file:///srv/store/items.js:1:2)'),
  ],
  ['a hash', /hash of a password/, 400, json, errorBody('invalid_request', '$scrypt$ln=15,r=8,p=3$x$y')],
  ['a header that was injected', /out of a header/, 200, { ...json, 'x-injected': '1' }, '{"n":1}'],
]
for (const [what, sentence, status, headers, body] of wrong) {
  t.test(`the judge finds ${what}`, async (t) => {
    t.match((await verdictOn(t, status, headers, body)).join('\n'), sentence)
  })
}

t.test('the judge finds a broken frame, and an event that is none', async (t) => {
  const stream = (body: string) => verdictOn(t, 200, { 'content-type': 'text/event-stream' }, body, '/stream')
  t.strictSame(await stream('id: x-1\nevent: heartbeat\ndata: {}\n\n'), [])
  t.match(await stream('evil\ndata: {}\n\n'), [/no client knows the field "evil"/])
  t.match(await stream('event: heartbeat\ndata: {"a":1}\n\n'), [/additional properties/])
  t.match(await stream('event: evil\ndata: {}\n\n'), [/no event of type "evil"/])
})

t.test('what gets out of its answer is found', async (t) => {
  const port = await serve(t, ({ socket }, response) => {
    response.writeHead(200, { ...json, 'content-length': '7' }).end('{"n":1}')
    socket.write('x: y\r\n\r\n')
  })
  const connection = new Connection(port)
  t.teardown(() => connection.close())
  await connection.ask(request('/things/a'))
  await t.rejects(connection.ask(request('/things/a')), /bytes follow an answer|the status line is/)
})

t.test('one bad answer among many is found, and shrunk to what makes it', async (t) => {
  const port = await serve(t, ({ method, url = '' }, response) => {
    if (method !== 'GET' || !/^\/things\/[^/?#]*$/.test(url)) {
      response.writeHead(404, json).end(errorBody('not_found'))
    } else if (url.includes('%00')) response.writeHead(500, json).end(errorBody('internal'))
    else response.writeHead(200, json).end('{"n":1}')
  })
  const known: Known = { credentials: ['Bearer x'], valuesFor: () => undefined, exclusive: {}, pointless: {} }
  const only = operations.filter(({ path }) => path.startsWith('/things'))
  const { findings, cases } = await search({ port, operations: only, known, judge, cases: 400, seed: 1 })
  t.ok(cases >= 1)
  const finding = findings.find(({ what }) => what.includes('the answer is 500'))
  t.match(finding, { operation: 'GET /things/{name}', counterexample: /%00/ })
})

t.test('a watcher of the feed passes whole frames, and finds broken and missing ones', async (t) => {
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

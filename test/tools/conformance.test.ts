import { readFile } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Result, checks, runChecks } from '../../tools/conformance/run.js'
import type { Target } from '../../tools/conformance/target.js'
import { createItems, countAt } from '../../tools/conformance/trigger.js'
import { formatCursor } from '../../feed/cursor.js'
import { pruneEvents } from '../../store/events.js'
import { createToken, startApp } from '../harness/app.js'
import { type Behaviour, TinyFeed } from '../harness/tiny-feed.js'
import { eventually } from '../../tools/harness/eventually.js'
import { listen } from '../harness/watcher.js'

t.jobs = 4

const failedOf = (results: Result[]) =>
  results.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id)
const skippedOf = (results: Result[]) =>
  results.filter(({ outcome }) => outcome === 'skipped').map(({ id }) => id)

t.test('Silo passes every check', { buffered: false }, async (t) => {
  const app = await startApp(t, { HEARTBEAT_MS: 300 })
  const origin = new URL(await listen(app))
  const token = await createToken(app.db, 'editor')
  await app.db`insert into items (part_number) values ('old-1'), ('old-2')`
  await eventually('the tail has them', () => app.sse.feed.history.ring.head === 2)
  const [first, second] = [...app.sse.feed.history.ring.after(0)]
  if (!first || !second) throw new Error('the ring has lost them')
  const expiredId = formatCursor(app.sse.feed.history.epoch, first)
  await pruneEvents(app.db, second)
  await eventually('the tail knows the pruned position', () => app.sse.feed.oldest.id === 2)

  const results = await runChecks({
    url: new URL('/api/events', origin),
    token,
    trigger: createItems(origin, token),
    heartbeat: 'heartbeat',
    reset: 'reset',
    notices: ['server.state'],
    heartbeatMs: 300,
    cursorParameter: 'since',
    filter: { parameter: 'types', hiding: 'item.deleted' },
    expiredId,
    countClients: countAt(origin, '/ready#/sse_clients', token),
    stop: () => app.close(),
    connections: 100,
    burst: 600,
    patienceMs: 5000,
    quietMs: 50,
    pauseMs: 1000,
  })
  t.equal(results.length, checks.length)
  for (const { id, outcome, reason } of results) t.equal(outcome, 'passed', `${id} ${reason ?? ''}`)
})

async function runTiny(t: Test, wrong: Partial<Behaviour> = {}, more: Partial<Target> = {}) {
  const feed = await TinyFeed.open(t, wrong)
  return runChecks({
    url: feed.url,
    token: 'tiny',
    // One event per turn of the event loop, so that the server has time to send each.
    trigger: async (text) => {
      feed.publish(text)
      await setImmediate()
    },
    heartbeat: 'heartbeat',
    reset: 'reset',
    notices: [],
    heartbeatMs: 200,
    cursorParameter: 'since',
    filter: { parameter: 'types', hiding: 'other' },
    expiredId: undefined,
    countClients: async () => feed.clients,
    stop: async () => feed.stop(),
    connections: 20,
    burst: 100,
    patienceMs: 3000,
    quietMs: 20,
    pauseMs: 100,
    ...more,
  })
}

t.test('another server that keeps the contract passes too', async (t) => {
  const results = await runTiny(t)
  t.strictSame(failedOf(results), [], JSON.stringify(results))
  t.strictSame(skippedOf(results), ['reset-expired'], 'its events do not expire')
})

/** Faulty behaviours, and the checks that each of them fails. */
const faults: [what: string, wrong: Partial<Behaviour>, failed: string[], target?: Partial<Target>][] = [
  [
    'sends no ids',
    { lineOfId: () => '' },
    [
      'resume',
      'resume-by-query',
      'header-wins',
      'bookmark',
      'reset-nonsense',
      'reset-foreign',
      'reset-future',
      'heartbeat-moves',
      'ids',
    ],
  ],
  [
    'resumes one event too early',
    { resumesAfter: (id) => id - 1 },
    ['resume', 'resume-by-query', 'bookmark', 'heartbeat-moves'],
  ],
  ['resumes one event too late', { resumesAfter: (id) => id + 1 }, ['resume', 'resume-by-query', 'bookmark']],
  [
    'sends no reset for an invalid cursor',
    { resets: false },
    ['reset-nonsense', 'reset-foreign', 'reset-future'],
  ],
  [
    'prefers the query parameter to the header',
    { cursorOf: (header, query) => query ?? header },
    ['header-wins'],
  ],
  ['does not encode line breaks in data', { encode: (text) => text }, ['text', 'utf-8', 'grammar', 'ids']],
  [
    'does not treat a carriage return as a line end',
    { encode: (text) => text.replaceAll('\n', '\ndata: ') },
    ['text', 'grammar'],
  ],
  [
    'sends nothing before the first event',
    { greeting: '', heartbeatMs: 60_000 },
    ['first-bytes', 'bookmark'],
    { heartbeatMs: undefined },
  ],
  [
    'sends the wrong content type',
    { headers: { 'content-type': 'text/plain; charset=utf-8' } },
    ['content-type'],
  ],
  [
    'sends wrong headers and a wrong retry delay',
    {
      headers: {
        'content-type': 'text/event-stream; charset=latin1',
        'cache-control': 'private',
        'x-accel-buffering': 'yes',
        'content-length': '1000000000',
      },
      greeting: 'retry: 1\n\n',
    },
    ['charset', 'no-store', 'no-transform', 'unbuffered', 'framing', 'retry', 'stop'],
  ],
  ['sends retry in seconds', { greeting: 'retry: 3s\n\n' }, ['grammar']],
  [
    'drops events that a slow client does not read',
    {
      deliver: (response, frame) => {
        if (response.writableLength < 2 ** 20) response.write(frame)
      },
    },
    ['slow-reader'],
    { burst: 1000 },
  ],
  ['ignores filters', { filters: false, refusesUnknownTypes: false }, ['filter', 'filter-unknown']],
  [
    'accepts every client and every method',
    { token: undefined, headStatus: 500, postStatus: 200 },
    ['unauthorized', 'head', 'post'],
  ],
  [
    'never forgets a client, and destroys connections at its end',
    { forgets: false, end: (response) => void response.destroy() },
    ['vanished', 'stop'],
  ],
  ['ends in the middle of an event', { end: (response) => void response.end('data: {') }, ['stop']],
  [
    'sends bytes that are not UTF-8',
    { deliver: (response, frame) => void response.write(frame, 'latin1') },
    ['text', 'utf-8', 'grammar'],
  ],
  [
    'sends events to the first fifteen clients only',
    {
      deliver: (response, frame, nth) => {
        if (nth < 15) response.write(frame)
      },
    },
    ['many'],
  ],
  [
    'sends chunks to HTTP/1.0 clients',
    { headers: { 'transfer-encoding': 'chunked' } },
    ['http-1.0', 'grammar'],
  ],
  ['sends no heartbeat', { heartbeatMs: 60_000 }, ['bookmark', 'heartbeat', 'heartbeat-moves']],
  ['sends no reset for an expired cursor', {}, ['reset-expired'], { expiredId: 'h1-0' }],
  ['sends no event that a client would dispatch', { lineOfData: () => '' }, ['live']],
  ['never responds with 200', { status: 503 }, ['status']],
]

for (const [what, wrong, failed, target] of faults) {
  t.test(`a server that ${what} fails ${failed.join(', ')} and no other check`, async (t) => {
    const results = await runTiny(t, wrong, target)
    const reasons = results
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ id, reason }) => `${id}: ${reason}`)
    t.strictSame(failedOf(results), failed, reasons.join('\n'))
  })
}

t.test('docs/conformance.md has the title and the source of every check', async (t) => {
  const documentation = await readFile(new URL('docs/conformance.md', import.meta.resolve('#root')), 'utf8')
  for (const { id, title, source } of checks) {
    const [row = ''] = documentation.split('\n').filter((line) => line.startsWith(`| \`${id}\` |`))
    t.ok(row.includes(title) && row.includes(source), id)
  }
})

import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { AppConfig } from '../../config.js'
import { type Sql, connect } from '../../store/driver/connect.js'
import { parseCursor } from '../../feed/cursor.js'
import { pruneEvents } from '../../store/events.js'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { TcpProxy } from '../harness/tcp-proxy.js'
import { eventually } from '../../tools/harness/eventually.js'
import { Watcher, listen } from '../harness/watcher.js'

async function serve(t: Test, config: Partial<AppConfig> & { databaseUrl?: string } = {}) {
  const app = await startApp(t, config)
  const origin = await listen(app)
  const token = await createToken(app.db, 'viewer')
  const watch = (query = '', lastEventId?: string) => Watcher.open(t, origin, { token, query, lastEventId })
  const page = async (query: string) => {
    const res = await app.inject({
      url: `/api/events${query}`,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    })
    return res.json<Page>()
  }
  return { app, origin, token, watch, page }
}

interface Page {
  events: { id: string; type: string; data: Record<string, unknown> }[]
  next: string
  head: string
}

const create = (sql: Sql, ...numbers: string[]) =>
  sql`insert into items (part_number) select unnest(${numbers}::text[])`
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `N-${from + i}`)
const seenNumbers = (watcher: Watcher) => watcher.events.map(({ data }) => data.part_number)
const headReached = (app: FastifyInstance, id: number) =>
  eventually(`the tail is at ${id}`, () => parseCursor(app.sse.head)?.id === id)

t.test('a committed change reaches a subscriber with exactly the documented keys', async (t) => {
  const { app, watch } = await serve(t)
  const watcher = await watch()
  await watcher.untilSeen('server.state')

  await app.db`
    insert into items (part_number, description, item_type) values ('A01-0002', 'ASSY', 'assembly')
  `
  await app.db`
    with context as materialized (
      select set_config('silo.comment', 'Updated weight', true), set_config('silo.actor', 'mara', true)
    )
    update items set description = 'ASSY 2' from context
  `
  await app.db`update items set archived_at = now()`
  await watcher.untilEvents(4)

  t.ok(watcher.retryMs !== undefined && watcher.retryMs >= 2000 && watcher.retryMs <= 5000)
  t.strictSame(
    watcher.seen.map(({ type }) => type),
    ['server.state', 'item.created', 'item.updated', 'revision.created', 'item.deleted'],
  )
  const [state, created, updated, revision, deleted] = watcher.seen.map(({ data }) => data)
  t.strictSame(state, { mode: 'normal' })
  t.strictSame(Object.keys(created ?? {}), ['part_number', 'description', 'item_type', 'actor', 'at'])
  t.match(updated, { part_number: 'A01-0002', revision: 2, actor: 'mara', at: /^\d{4}-.*Z$/ })
  t.match(revision, { part_number: 'A01-0002', revision_number: 2, comment: 'Updated weight', actor: 'mara' })
  t.strictSame(Object.keys(deleted ?? {}), ['part_number', 'actor', 'at'])
})

t.test('an instance announces its writes, so that another does not wait for its poll', async (t) => {
  const databaseUrl = await createDatabase(t)
  const one = await startApp(t, { databaseUrl })
  const { watch } = await serve(t, { databaseUrl })
  const editor = await createToken(one.db, 'editor')
  const watcher = await watch()
  await watcher.untilSeen('server.state')
  const began = performance.now()
  for (const [index, part_number] of numbers(1, 20).entries()) {
    await one.inject({
      method: 'POST',
      url: '/api/items',
      headers: { authorization: `Bearer ${editor}` },
      payload: { part_number },
    })
    await watcher.untilEvents(index + 1)
  }
  // By polling alone, each event would wait up to a second for the next poll.
  t.ok(performance.now() - began < 10_000)
})

t.test('the headers of a stream forbid proxies and caches to buffer, change or store it', async (t) => {
  const { origin, token } = await serve(t)
  const gone = new AbortController()
  const res = await fetch(`${origin}/api/events`, {
    headers: { authorization: `Bearer ${token}` },
    signal: gone.signal,
  })
  t.equal(res.status, 200)
  t.match(res.headers.get('content-type'), /^text\/event-stream/)
  t.equal(res.headers.get('cache-control'), 'no-store, no-transform')
  t.equal(res.headers.get('x-accel-buffering'), 'no')
  gone.abort()
})

t.test('a client that resumes with its last id receives each event exactly once', async (t) => {
  const { app, watch } = await serve(t)
  await create(app.db, ...numbers(1, 5))
  await headReached(app, 5)
  const first = await watch('?since=earliest')
  await first.untilEvents(5)
  const third = first.events[2]?.id
  await first.close()
  await create(app.db, ...numbers(6, 8))

  for (const [query, header] of [
    ['', third],
    [`?since=${third}`, undefined],
    [`?lastEventId=${third}`, undefined],
    [`?last_event_id=${third}`, undefined],
    ['?since=earliest', third],
  ] as const) {
    const again = await watch(query, header)
    await again.untilEvents(5)
    await create(app.db, `L-${again.retryMs}`)
    await again.untilEvents(6)
    t.strictSame(seenNumbers(again).slice(0, 5), numbers(4, 8), `${query} ${header}`)
    t.equal(new Set(again.events.map(({ id }) => id)).size, again.events.length)
  }
})

t.test('a connection lost before its first event resumes too: server.state has the cursor', async (t) => {
  const { app, watch } = await serve(t)
  await create(app.db, 'A')
  await headReached(app, 1)
  const first = await watch()
  await first.untilSeen('server.state')
  t.equal(first.lastId, app.sse.head)
  await first.close()
  await create(app.db, 'B')
  const again = await watch('', first.lastId)
  await again.untilEvents(1)
  t.strictSame(seenNumbers(again), ['B'])
})

t.test(
  'a cursor that cannot be resumed gets a reset first, and the stream continues from the head',
  async (t) => {
    const { app, watch, page } = await serve(t)
    await create(app.db, ...numbers(1, 4))
    await headReached(app, 4)
    const { head } = app.sse
    const all = (await page('?since=earliest')).events.map(({ id }) => id)
    const [first = '', oldest = '', , last] = all
    t.equal(last, head)
    const [epoch = '', , check = ''] = oldest.split('-')
    t.equal(await pruneEvents(app.db, { id: 2, check }), 2)
    await eventually('the oldest is known', async () => (await page('?since=earliest')).events.length === 2)

    for (const [cursor, reason] of [
      [first, 'expired'],
      [`${epoch}-0-00000000`, 'expired'],
      [head.replace(epoch, '00000000'), 'unknown'],
      [oldest.replace(check, '0123abcd'), 'unknown'],
      [head.replace(/[^-]+$/, '0123abcd'), 'unknown'],
      [`${epoch}-99-0123abcd`, 'unknown'],
      [`${epoch}-4`, 'unknown'],
      ['nonsense', 'unknown'],
      ["' or 1=1 --", 'unknown'],
      [`${epoch}-99999999999999999999-0123abcd`, 'unknown'],
      [`${epoch}-`, 'unknown'],
    ] as const) {
      const watcher = await watch(`?since=${encodeURIComponent(cursor)}`)
      await watcher.until(({ seen }) => seen.length >= 2)
      t.strictSame(watcher.seen[0], { id: head, type: 'reset', data: { reason, oldest, head } }, cursor)
      t.equal(watcher.seen[1]?.type, 'server.state')
      await watcher.close()
      t.strictSame((await page(`?since=${encodeURIComponent(cursor)}`)).events, [
        { id: head, type: 'reset', data: { reason, oldest, head } },
      ])
    }

    const watcher = await watch(`?since=${first}`)
    await create(app.db, 'after')
    await watcher.untilEvents(1)
    t.strictSame(seenNumbers(watcher), ['after'])
    const edge = await watch(`?since=${oldest}`)
    await edge.untilEvents(3)
    t.notOk(
      edge.seen.some(({ type }) => type === 'reset'),
      'the oldest cursor itself can be resumed',
    )
  },
)

t.test('filters pass exactly the matching events, and cursors advance past the others', async (t) => {
  const { app, watch, origin, token } = await serve(t, { HEARTBEAT_MS: 200 })
  const a01 = await watch('?part_number=a01-*&types=item.created,item.deleted')
  const two = await watch('?part_number=B-1&part_number=A01-2')
  await create(app.db, 'A01-1', 'B-1', 'A01-2', 'C')
  await app.db`update items set description = 'x'`
  await a01.untilEvents(2)
  await two.untilEvents(6)
  t.strictSame(seenNumbers(a01), ['A01-1', 'A01-2'])
  t.strictSame(new Set(seenNumbers(two)), new Set(['B-1', 'A01-2']))
  await a01.until(({ seen }) => seen.at(-1)?.type === 'heartbeat' && seen.at(-1)?.id === app.sse.head)
  t.equal(a01.events.length, 2)

  const refused = await fetch(`${origin}/api/events?types=item.created,item.renamed`, {
    headers: { authorization: `Bearer ${token}` },
  })
  t.equal(refused.status, 400)
  t.match(await refused.json(), { error: 'invalid_request', details: [{ field: 'types' }] })
})

t.test('heartbeats come on every connection, with the connection’s own cursor', async (t) => {
  const { app, watch } = await serve(t, { HEARTBEAT_MS: 100 })
  const watchers = await Promise.all(Array.from({ length: 40 }, () => watch()))
  await create(app.db, 'A')
  for (const watcher of watchers) {
    await watcher.until(({ seen }) => seen.filter(({ type }) => type === 'heartbeat').length >= 3)
    const beat = watcher.seen.at(-1)
    t.strictSame(beat, { id: app.sse.head, type: 'heartbeat', data: {} })
  }
})

t.test('JSON pages have the same events as the stream', async (t) => {
  const { app, page, watch } = await serve(t)
  await create(app.db, ...numbers(1, 30))
  await app.db`update items set description = 'x' where part_number = 'N-7'`
  await headReached(app, 32)
  const stream = await watch('?since=earliest')
  await stream.untilEvents(32)

  const paged: Page['events'] = []
  let since = 'earliest'
  for (;;) {
    const { events, next, head } = await page(`?since=${since}&limit=7`)
    paged.push(...events)
    since = next
    if (next === head) break
  }
  t.strictSame(paged, stream.events)
  t.strictSame((await page('?last=2')).events, stream.events.slice(-2))
  t.strictSame(
    (await page('?last=3&part_number=N-7')).events,
    stream.events.filter((e) => e.data.part_number === 'N-7'),
  )
  t.strictSame((await page(`?since=${since}`)).events, [])
})

t.test('a JSON page waits for the first matching event, or until its timeout', async (t) => {
  const { app, page } = await serve(t)
  const { head } = await page('?last=1')
  const waiting = page(`?since=${head}&wait=30&part_number=B`)
  await create(app.db, 'A')
  await headReached(app, 1)
  await create(app.db, 'B')
  t.strictSame(
    (await waiting).events.map(({ data }) => data.part_number),
    ['B'],
  )
  const { events, next } = await page(`?since=${app.sse.head}&wait=1`)
  t.strictSame(events, [])
  t.equal(next, app.sse.head)
})

t.test('a JSON page waits no longer when garbage is collected meanwhile', async (t) => {
  const { app, page } = await serve(t)
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  let isAnswered = false
  const waiting = page(`?since=${app.sse.head}&wait=1`).then(({ events }) => {
    isAnswered = true
    return events
  })
  const isReturned = () => {
    collectGarbage()
    return isAnswered
  }
  await eventually('the page is returned', isReturned, { timeoutMs: 10_000 })
  t.strictSame(await waiting, [])
})

t.test('events older than the ring are read from the log, in order and without a gap', async (t) => {
  const { app, watch } = await serve(t)
  const count = 40_000
  await app.db`insert into items (part_number) select 'R-' || n from generate_series(1, ${count}) n`
  await headReached(app, count)
  const watchers = await Promise.all([
    watch('?since=earliest'),
    watch('?since=earliest'),
    watch('?since=earliest'),
  ])
  await create(app.db, 'live')
  for (const watcher of watchers) {
    await watcher.untilEvents(count + 1, 30_000)
    const ids = watcher.events.map(({ id }) => Number(id.split('-')[1]))
    t.ok(
      ids.every((id, i) => id === i + 1),
      'every id, ascending, once',
    )
  }
})

t.test('a client that does not read delays no other, and gets everything once it reads', async (t) => {
  const { app, origin, token, watch } = await serve(t)
  const { hostname, port } = new URL(origin)
  const slow = connectSocket(Number(port), hostname)
  t.teardown(() => slow.destroy())
  slow.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  await eventually('the slow reader is connected', () => app.sse.clients === 1)
  slow.pause()
  const quick = await watch()
  const count = 30_000
  await app.db`
    insert into items (part_number, description)
    select 'S-' || n, repeat('x', 200) from generate_series(1, ${count}) n
  `
  await quick.untilEvents(count, 30_000)

  let text = ''
  slow.setEncoding('utf8')
  slow.on('data', (more: string) => (text += more))
  slow.resume()
  await eventually('the slow reader has caught up', () => text.includes(`"S-${count}"`), {
    timeoutMs: 30_000,
  })
  const ids = [...text.matchAll(/^id: [0-9a-f]+-(\d+)-[0-9a-f]+\nevent: item/gm)].map((match) =>
    Number(match[1]),
  )
  t.strictSame(
    ids,
    quick.events.map(({ id }) => Number(id.split('-')[1])),
  )
})

t.test(
  'closing ends every stream with server.state draining, a heartbeat with the cursor, and a complete end',
  async (t) => {
    const { app, watch } = await serve(t, { DRAIN_DELAY_MS: 100 })
    await create(app.db, 'A')
    await headReached(app, 1)
    const { head } = app.sse
    const watchers = await Promise.all([watch(), watch('?since=earliest')])
    const closing = app.close()
    for (const watcher of watchers) {
      await watcher.untilEnded()
      t.equal(watcher.endedCleanly, true)
      const [state, beat] = watcher.seen.slice(-2)
      t.strictSame(state, { id: head, type: 'server.state', data: { mode: 'draining' } })
      t.strictSame(beat, { id: head, type: 'heartbeat', data: {} })
    }
    await closing
  },
)

t.test('closing does not wait for a client that does not read', async (t) => {
  const { app, origin, token } = await serve(t, { SHUTDOWN_TIMEOUT_MS: 2000 })
  const { hostname, port } = new URL(origin)
  const slow = connectSocket(Number(port), hostname)
  slow.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  slow.pause()
  await eventually('the slow reader is connected', () => app.sse.clients === 1)
  await app.db`
    insert into items (part_number, description)
    select 'S-' || n, repeat('x', 1000) from generate_series(1, 15000) n
  `
  await headReached(app, 15_000)
  const began = performance.now()
  await app.close()
  t.ok(performance.now() - began < 2000)
  slow.destroy()
})

t.test('an HTTP/1.0 client receives the events without chunked encoding', async (t) => {
  const { app, origin, token } = await serve(t)
  const { hostname, port } = new URL(origin)
  const old = connectSocket(Number(port), hostname).setEncoding('utf8')
  t.teardown(() => old.destroy())
  let text = ''
  old.on('data', (more: string) => (text += more))
  old.write(`GET /api/events HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  await eventually('the greeting', () => text.includes('server.state'))
  await create(app.db, 'A')
  await eventually('the event', () => text.includes('"A"'))
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.notMatch(head.toLowerCase(), 'transfer-encoding')
  t.match(
    body,
    /^retry: \d+\nid: \S+\nevent: server.state\ndata: \{"mode":"normal"\}\n\nid: \S+\nevent: item.created\n/,
  )
})

t.test('clients beyond SSE_MAX_CLIENTS get a retry delay, not an error', async (t) => {
  const { watch, origin, token } = await serve(t, { SSE_MAX_CLIENTS: 1 })
  const first = await watch()
  await first.untilSeen('server.state')
  const res = await fetch(`${origin}/api/events`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(res.status, 200)
  const retry = Number(/^retry: (\d+)\nevent: heartbeat\ndata: \{\}\n\n$/.exec(await res.text())?.[1])
  t.ok(retry >= 20_000 && retry <= 60_000)

  const accept = 'application/json'
  const page = await fetch(`${origin}/api/events`, { headers: { authorization: `Bearer ${token}`, accept } })
  t.equal(page.status, 503)
  t.match(await page.json(), { error: 'overloaded' })
  const after = Number(page.headers.get('retry-after'))
  t.ok(after >= 20 && after <= 60)
})

t.test(
  'the refusal of a stream is delayed, holds no slot meanwhile, and is sent when the instance closes',
  async (t) => {
    const { app, watch, origin, token } = await serve(t, { SSE_MAX_CLIENTS: 2, SSE_MAX_CLIENTS_PER_USER: 1 })
    const first = await watch()
    await first.untilSeen('server.state')
    const headers = { authorization: `Bearer ${token}` }
    const began = performance.now()
    const refused = fetch(`${origin}/api/events`, { headers })
    // A stream that is refused because of its user leaves the last slot to another user.
    const other = await createToken(app.db, 'viewer')
    const second = await Watcher.open(t, origin, { token: other })
    await second.untilSeen('server.state')
    t.match(await (await refused).text(), /^retry: \d+\nevent: heartbeat\n/)
    t.ok(
      performance.now() - began >= 3000,
      'a client that ignores retry reconnects at most every three seconds',
    )

    const leaving = new AbortController()
    const received = once(app.server, 'request')
    const left = t.rejects(fetch(`${origin}/api/events`, { headers, signal: leaving.signal }))
    await received
    leaving.abort()
    await left
    const receivedAgain = once(app.server, 'request')
    const waiting = fetch(`${origin}/api/events`, { headers }).then((res) => res.text())
    await receivedAgain
    const closing = app.close()
    t.match(await waiting, /^retry: \d+\n/, 'it gets a response, and is not disconnected')
    await closing
  },
)

t.test('HEAD has the response of GET, without a body, a stream or a slot', async (t) => {
  const { app, watch, origin, token } = await serve(t, { SSE_MAX_CLIENTS: 1 })
  const head = (query = '', accept = 'text/event-stream', as = token) =>
    fetch(`${origin}/api/events${query}`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${as}`, accept },
    })
  for (let i = 0; i < 5; i++) {
    const res = await head()
    t.equal(res.status, 200)
    t.equal(res.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    t.equal(res.headers.get('cache-control'), 'no-store, no-transform')
    t.equal(res.headers.get('vary'), 'Accept')
    t.equal(res.headers.get('content-length'), null)
    t.equal(await res.text(), '')
  }
  t.equal(app.sse.clients, 0)
  const page = await head('?wait=60', 'application/json')
  t.equal(page.headers.get('content-type'), 'application/json; charset=utf-8')
  t.equal((await head('', '*/*', 'nobody')).status, 401)
  t.equal((await head('?types=nonsense')).status, 400)
  await (await watch()).untilSeen('server.state')
  t.equal((await head()).status, 200, 'without a free slot, as for a stream that is refused')
  t.equal((await head('', 'application/json')).status, 503)
})

t.test('parameters that only pages have select a page, unless Accept names a stream', async (t) => {
  const { app, origin, token } = await serve(t)
  await create(app.db, 'A')
  await headReached(app, 1)
  const typeOf = async (query: string, accept?: string) => {
    const cut = new AbortController()
    const res = await fetch(`${origin}/api/events${query}`, {
      headers: { authorization: `Bearer ${token}`, ...(accept !== undefined && { accept }) },
      signal: cut.signal,
    })
    cut.abort()
    t.equal(res.headers.get('vary'), 'Accept')
    return res.headers.get('content-type')?.split(';')[0]
  }
  const [json, sse] = ['application/json', 'text/event-stream']
  for (const query of ['?last=1', '?limit=1', '?wait=0', '?since=earliest&limit=5']) {
    for (const accept of [undefined, '*/*', 'text/html,*/*;q=0.8', 'application/json; charset=utf-8']) {
      t.equal(await typeOf(query, accept), json, `${query} ${accept ?? ''}`)
    }
    t.equal(await typeOf(query, sse), sse, query)
    t.equal(await typeOf(query, 'text/event-stream, */*;q=0.1'), sse, query)
  }
  for (const accept of [
    undefined,
    '*/*',
    'text/*',
    'image/png',
    'application/json;q=0',
    'text/event-stream;q=1, application/json;q=0.9',
  ]) {
    t.equal(await typeOf('?types=item.created', accept), sse, accept ?? 'none')
  }
  for (const accept of [
    'application/*',
    'application/json;q=0.5, text/event-stream;q=0.4',
    'text/event-stream;q=0',
    'application/json;v="a,b"',
  ]) {
    t.equal(await typeOf('', accept), json, accept)
  }
})

t.test("a cursor is taken from the header, then from a polyfill's parameter, then from since", async (t) => {
  const { app, origin, token, page } = await serve(t)
  await create(app.db, ...numbers(1, 9))
  await headReached(app, 9)
  const { events } = await page('?since=earliest')
  const at = (id: number) => events[id - 1]?.id ?? ''
  const firstOf = async (query: string, ...lastEventIds: string[]) => {
    const { body, statusCode } = await app.inject({
      url: `/api/events?limit=1${query}`,
      headers: {
        authorization: `Bearer ${token}`,
        ...(lastEventIds.length > 0 && { 'last-event-id': lastEventIds }),
      },
    })
    const { events: found, details } = JSON.parse(body) as Partial<Page> & { details?: { field: string }[] }
    return statusCode === 200 ? found?.[0]?.data.part_number : details?.[0]?.field
  }
  t.equal(await firstOf(`&since=${at(1)}&lastEventId=${at(3)}`), 'N-4')
  t.equal(await firstOf(`&since=${at(1)}&Last-Event-ID=${at(3)}`), 'N-4')
  t.equal(await firstOf(`&SINCE=${at(1)}`), 'N-2')
  t.equal(await firstOf(`&since=${at(1)}&lastEventId=${at(3)}`, at(5)), 'N-6')
  t.equal(await firstOf(`&since=${at(1)}&lastEventId=`, ''), 'N-2', 'an empty value counts as absent')
  t.equal(await firstOf(`&since=${at(1)}&since=${at(2)}`), 'N-3', 'the last value of a repeated parameter')
  t.equal(await firstOf('', at(5), at(5)), 'N-6')

  const raw = async (...lines: string[]) => {
    const socket = connectSocket(Number(new URL(origin).port), '127.0.0.1')
    const request = [
      'GET /api/events?limit=1 HTTP/1.1',
      'Host: localhost',
      `Authorization: Bearer ${token}`,
      ...lines,
    ]
    socket.end(`${request.join('\r\n')}\r\nConnection: close\r\n\r\n`)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text
  }
  const twice = await raw(`Last-Event-ID: ${at(1)}`, `last-event-id: ${at(2)}`)
  t.match(twice, /^HTTP\/1.1 400 /)
  t.match(twice, '"field":"last-event-id"')
  t.match(await raw(`Last-Event-ID: ${at(1)}`, `last-event-id: ${at(1)}`), '"N-2"')
})

t.test('Unicode line separators in an event are escaped, in streams and in pages', async (t) => {
  const { app, origin, token, watch } = await serve(t)
  const text = 'a\u0085b\u2028c\u2029d\u000be\u000cf\u001cg\u001dh\u001ei'
  await app.db`insert into items (part_number, description) values ('U', ${text})`
  // The log has the text unescaped, as older versions wrote it.
  t.match((await app.db`select data::text as data from events`)[0]?.data, '\u2028')
  const watcher = await (await watch('?since=earliest')).untilEvents(1)
  t.equal(watcher.events[0]?.data.description, text)

  const read = async (accept: string) => {
    const res = await fetch(`${origin}/api/events?since=earliest`, {
      headers: { authorization: `Bearer ${token}`, accept },
    })
    const body: ReadableStream<Uint8Array> | null = res.body
    const reader = body?.getReader()
    let all = ''
    while (!all.includes('"U"')) all += new TextDecoder().decode((await reader?.read())?.value)
    await reader?.cancel()
    return all
  }
  for (const accept of ['text/event-stream', 'application/json']) {
    const all = await read(accept)
    t.match(all, 'a\\u0085b\\u2028c\\u2029d')
    for (const end of '\v\f\x1c\x1d\x1e\x85\u2028\u2029') t.notOk(all.includes(end), encodeURIComponent(end))
  }
})

t.test('a client that disconnects before its pipelined streams begin leaves no slot taken', async (t) => {
  const { app, watch, origin, token } = await serve(t, { SSE_MAX_CLIENTS: 3 })
  const socket = connectSocket(Number(new URL(origin).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    `GET /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`.repeat(3),
  )
  await eventually('the first stream is open', () => app.sse.clients > 0)
  socket.destroy()
  await eventually('it is closed', () => app.sse.clients === 0, { timeoutMs: 10_000 })
  const watchers = await Promise.all([watch(), watch(), watch()])
  for (const watcher of watchers) await watcher.untilSeen('server.state')
  t.equal(app.sse.clients, 3)
})

t.test('the streams of a user and of an address are limited, even if opened at once', async (t) => {
  const { app, origin, token } = await serve(t, {
    SSE_MAX_CLIENTS_PER_USER: 3,
    SSE_MAX_CLIENTS_PER_ADDRESS: 5,
    TRUST_PROXY: ['loopback'],
  })
  const others = await createToken(app.db, 'viewer')
  const admitted = async (as: string, address: string) => {
    const cut = new AbortController()
    t.teardown(() => cut.abort())
    const headers = { authorization: `Bearer ${as}`, 'x-forwarded-for': address }
    const res = await fetch(`${origin}/api/events`, { headers, signal: cut.signal })
    const body: ReadableStream<Uint8Array> | null = res.body
    const chunk = await body?.getReader().read()
    const text = new TextDecoder().decode(chunk?.value)
    return { isOpen: text.includes('server.state'), retry: Number(/^retry: (\d+)/.exec(text)?.[1]), cut }
  }
  const rush = (as: string, address: string) =>
    Promise.all(Array.from({ length: 8 }, () => admitted(as, address)))
  const open = (answers: Awaited<ReturnType<typeof rush>>) => answers.filter(({ isOpen }) => isOpen).length

  const mine = await rush(token, '192.0.2.1')
  t.equal(open(mine), 3, 'three streams of the user')
  t.ok(mine.every(({ isOpen, retry }) => isOpen || (retry >= 20_000 && retry <= 60_000)))
  t.equal(open(await rush(others, '192.0.2.1')), 2, 'five streams of the address')
  t.equal(open(await rush(others, '192.0.2.2')), 1, 'another address has slots of its own')

  for (const { cut } of mine) cut.abort()
  await eventually('the streams are closed', () => app.sse.clients === 3, { timeoutMs: 10_000 })
  t.equal((await admitted(token, '192.0.2.2')).isOpen, true, 'a slot is free again')
})

t.test(
  'on every instance a stream ends within five seconds after its token or user has ended or changed',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const { app, origin, watch } = await serve(t, { databaseUrl })
    const other = await serve(t, { databaseUrl })
    const lose: Record<string, (sql: Sql, username: string) => Promise<unknown>> = {
      'the token is revoked': (sql, name) =>
        sql`update tokens set revoked_at = now() from users u where u.id = user_id and u.username = ${name}`,
      'the token expires': (sql, name) =>
        sql`update tokens set expires_at = now() from users u where u.id = user_id and u.username = ${name}`,
      'the user is disabled': (sql, name) => sql`update users set active = false where username = ${name}`,
      'the user is deleted': (sql, name) => sql`delete from users where username = ${name}`,
      'the user has another password': (sql, name) =>
        sql`update users set password_hash = 'other' where username = ${name}`,
      'the user loses a role': (sql, name) => sql`update users set role = 'viewer' where username = ${name}`,
    }
    const keeps = [await watch(), await other.watch()]
    await Promise.all(
      Object.entries(lose).map(async ([what, act], i) => {
        const token = await createToken(app.db, 'editor', `loser-${i}`)
        const watchers = [
          await Watcher.open(t, origin, { token }),
          await Watcher.open(t, other.origin, { token }),
        ]
        for (const watcher of watchers) await watcher.untilSeen('server.state')
        await act(app.db, `loser-${i}`)
        for (const watcher of watchers) {
          await watcher.untilEnded(5000)
          t.equal(watcher.endedCleanly, true, what)
        }
      }),
    )
    for (const watcher of keeps) t.equal(watcher.endedCleanly, undefined, 'other streams stay open')
  },
)

t.test('a right that has ended gives no access to earlier events, nor to a page that waits', async (t) => {
  const { app, origin } = await serve(t)
  await create(app.db, 'A')
  await headReached(app, 1)
  const token = await createToken(app.db, 'viewer', 'vera')
  const read = (query: string) =>
    fetch(`${origin}/api/events${query}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    })
  const { next, events } = (await (await read('')).json()) as Page
  t.equal(events.length, 1)
  const held = read(`?since=${next}&wait=60`)
  await app.db`update users set active = false where username = 'vera'`
  await eventually('the right is lost here', async () => (await read('')).status === 401, {
    timeoutMs: 10_000,
  })
  await create(app.db, 'B')
  const answer = await held
  t.equal(answer.status, 401)
  t.match(await answer.json(), { error: 'unauthenticated' })
  for (const query of ['?since=earliest', `?since=${next}`, '?last=10']) {
    t.equal((await read(query)).status, 401, query)
  }
  const stream = await fetch(`${origin}/api/events?since=earliest`, {
    headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
  })
  t.equal(stream.status, 401)
})

t.test('a token in the address is not accepted: addresses end up in logs and histories', async (t) => {
  const { app, token } = await serve(t)
  for (const name of [
    'token',
    'access_token',
    'authorization',
    'auth',
    'jwt',
    'api_key',
    'silo_session_80',
  ]) {
    for (const accept of ['text/event-stream', 'application/json']) {
      const res = await app.inject({ url: `/api/events?${name}=${token}`, headers: { accept } })
      t.equal(res.statusCode, 401, `${name}, ${accept}`)
    }
  }
})

t.test(
  'subscribers of two instances on one database receive every change, and can move between them',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const one = await serve(t, { databaseUrl })
    const two = await serve(t, { databaseUrl })
    const watchers = [await one.watch(), await two.watch()]
    await create(one.app.db, 'by-one')
    one.app.sse.poll()
    await create(two.app.db, 'by-two')
    two.app.sse.poll()
    for (const watcher of watchers) {
      await watcher.untilEvents(2)
      t.strictSame(seenNumbers(watcher), ['by-one', 'by-two'])
    }
    const moved = await Watcher.open(t, two.origin, {
      token: one.token,
      lastEventId: watchers[0]?.events[0]?.id,
    })
    await moved.untilEvents(1)
    await create(one.app.db, 'later')
    await moved.untilEvents(2)
    t.strictSame(seenNumbers(moved), ['by-two', 'later'])
  },
)

t.test('a change made in psql is notified, not only found by the poll', async (t) => {
  const { app, watch } = await serve(t)
  const watcher = await watch()
  await watcher.untilSeen('server.state')
  const began = performance.now()
  for (let i = 1; i <= 10; i++) {
    await create(app.db, `P-${i}`)
    await watcher.untilEvents(i)
  }
  t.ok(performance.now() - began < 5000, 'ten polls would have taken ten seconds')
})

t.test('a change made through the API is notified, not only found by the poll', async (t) => {
  const { app, watch } = await serve(t)
  const headers = { authorization: `Bearer ${await createToken(app.db, 'editor')}` }
  const watcher = await watch()
  await watcher.untilSeen('server.state')
  const began = performance.now()
  let events = 0
  for (let i = 1; i <= 5; i++) {
    const url = `/api/items/P-${i}`
    await app.inject({ method: 'POST', url: '/api/items', headers, payload: { part_number: `P-${i}` } })
    await watcher.untilEvents((events += 1))
    await app.inject({ method: 'PUT', url, headers, payload: { description: 'x' } })
    await watcher.untilEvents((events += 2))
    await app.inject({ method: 'POST', url: `${url}/revisions`, headers, payload: { comment: 'y' } })
    await watcher.untilEvents((events += 2))
    await app.inject({ method: 'DELETE', url, headers })
    await watcher.untilEvents((events += 1))
  }
  t.ok(performance.now() - began < 10_000, 'twenty polls would have taken twenty seconds')
})

for (const [how, fail] of [
  ['refuses connections', (proxy: TcpProxy) => proxy.refuse()],
  ['does not respond', (proxy: TcpProxy) => proxy.freeze()],
] as const) {
  t.test(
    `with a database that ${how}: degraded mode, quick responses, open streams, and then all missed events`,
    async (t) => {
      const databaseUrl = await createDatabase(t)
      const proxy = await TcpProxy.open(t, databaseUrl)
      const { watch, origin, token } = await serve(t, { databaseUrl: proxy.through(databaseUrl) })
      const other = await startApp(t, { databaseUrl })
      const watcher = await watch()
      await watcher.untilSeen('server.state')

      const stranger = await createToken(other.db, 'viewer')
      const began = performance.now()
      fail(proxy)
      // The instance has not noticed the outage yet, and fails to read the token.
      const early = await fetch(`${origin}/api/events`, { headers: { authorization: `Bearer ${stranger}` } })
      t.equal(early.status, 200, 'with another status a browser would give up')
      t.match(await early.text(), /^retry: \d+\nevent: server.state\ndata: /)
      await watcher.until(({ seen }) => seen.some(({ data }) => data.mode === 'degraded'), 2000)
      const asked = performance.now()
      const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
      const res = await fetch(`${origin}/api/events`, { headers })
      t.equal(res.status, 503)
      t.equal(((await res.json()) as { error: string }).error, 'database_unavailable')
      t.ok(performance.now() - asked < 2000)
      t.ok(performance.now() - began < 4000)

      const stream = await fetch(`${origin}/api/events`, { headers: { authorization: `Bearer ${token}` } })
      t.equal(stream.status, 200, 'with another status a browser would give up')
      t.match(await stream.text(), /^retry: \d+\nevent: server.state\ndata: \{"mode":"degraded"\}\n\n$/)

      await create(other.db, 'missed-1', 'missed-2')
      proxy.heal()
      await watcher.untilEvents(2)
      t.strictSame(seenNumbers(watcher), ['missed-1', 'missed-2'])
      await watcher.until(
        ({ seen }) => seen.filter(({ type }) => type === 'server.state').at(-1)?.data.mode === 'normal',
      )
      t.equal(watcher.endedCleanly, undefined)
      await create(other.db, 'later')
      other.sse.poll()
      await watcher.untilEvents(3)
    },
  )
}

t.test('terminated database connections are noticed and replaced, and no event is lost', async (t) => {
  const databaseUrl = await createDatabase(t)
  const { watch } = await serve(t, { databaseUrl })
  const other = await startApp(t, { databaseUrl })
  // A separate connection: when the instance notices a termination, it drops its own ones with their queries.
  const killer = connect(databaseUrl, 1)
  t.teardown(() => killer.end())
  const watcher = await watch()
  await watcher.untilSeen('server.state')
  for (let i = 1; i <= 5; i++) {
    await killer`
      select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()
    `
    // A connection that is terminated during a write leaves its outcome unknown, so the write must be
    // repeatable.
    const write = () => other.db`insert into items (part_number) values (${`K-${i}`}) on conflict do nothing`
    const isWritten = () =>
      write().then(
        () => true,
        () => false,
      )
    await eventually('the database accepts writes again', isWritten)
  }
  await watcher.untilEvents(5)
  t.strictSame(seenNumbers(watcher), ['K-1', 'K-2', 'K-3', 'K-4', 'K-5'])
})

t.test('a new epoch of the log resets every subscriber', async (t) => {
  const { app, watch } = await serve(t)
  await create(app.db, 'A')
  const watcher = await watch('?since=earliest')
  await watcher.untilEvents(1)
  await app.db`update event_log set seed = gen_random_uuid()`
  await watcher.untilSeen('reset')
  t.match(watcher.seen.at(-1), {
    type: 'reset',
    id: app.sse.head,
    data: { reason: 'unknown', head: app.sse.head },
  })
  await create(app.db, 'B')
  await watcher.untilEvents(2)
  t.strictSame(seenNumbers(watcher), ['A', 'B'])
})

import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Site } from '../harness/site.js'
import { eventually } from '../../tools/harness/eventually.js'

const SHUTDOWN_TIMEOUT_MS = 6000

/** Opens a stream and never reads it. */
function neverRead(t: Test, origin: string, token: string): void {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  socket.pause()
  socket.on('error', () => undefined)
  socket.write(
    `GET /api/events?since=earliest HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  t.teardown(() => socket.destroy())
}

const clientsOf = async (origin: string) =>
  ((await (await fetch(`${origin}/ready`)).json()) as { sse_clients: number }).sse_clients

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(
    `${signal} finishes running requests, ends every stream completely and exits within the timeout`,
    async (t) => {
      const site = await Site.open(t)
      const { service, origin } = await site.start({
        DRAIN_DELAY_MS: '1000',
        SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS),
      })
      const watchers = await Promise.all([site.watch(origin), site.watch(origin)])
      // More data than the buffers of a socket hold, so that the client that does not read has a backlog.
      await site.sql`
      insert into items (part_number, description)
      select 'S-' || n, repeat('x', 1000) from generate_series(1, 15000) n
    `
      for (const watcher of watchers) await watcher.untilEvents(15_000)
      neverRead(t, origin, site.token)
      await eventually('the client that does not read', async () => (await clientsOf(origin)) === 3)
      t.equal((await fetch(`${origin}/ready`)).status, 200)

      const upload = request(`${origin}/api/items/import`, {
        method: 'POST',
        headers: { authorization: `Bearer ${site.token}`, 'content-type': 'text/csv' },
      })
      const answered = new Promise<IncomingMessage>((resolve, reject) => {
        upload.once('response', resolve).once('error', reject)
      })
      upload.write('Part Number\nLATE-1\n')
      const page = fetch(`${origin}/api/events?wait=60&since=${watchers[0].lastId}`, {
        headers: { authorization: `Bearer ${site.token}`, accept: 'application/json' },
      })

      const began = performance.now()
      service.send(signal)
      await Promise.all(
        watchers.map((watcher) =>
          watcher.until(({ seen }) => seen.some(({ data }) => data.mode === 'draining')),
        ),
      )
      const ready = await fetch(`${origin}/ready`)
      t.equal(ready.status, 503)
      t.match(await ready.json(), { mode: 'draining' })
      t.equal((await fetch(`${origin}/health`)).status, 200, 'the process is alive until it exits')

      upload.end('LATE-2\n')
      t.match(JSON.parse(await text(await answered)), { created: 2 }, 'a running request finishes')
      t.equal((await page).status, 200, 'a waiting page gets its response')

      for (const watcher of watchers) {
        await watcher.untilEnded()
        t.equal(watcher.endedCleanly, true, 'the response is complete')
        t.strictSame(
          watcher.events.slice(-2).map(({ data }) => data.part_number),
          ['LATE-1', 'LATE-2'],
          'events written during the shutdown were delivered',
        )
        const position = watcher.events.at(-1)?.id
        t.strictSame(watcher.seen.at(-1), { id: position, type: 'heartbeat', data: {} })
      }
      t.equal(await service.exit(), 0)
      t.ok(
        performance.now() - began < SHUTDOWN_TIMEOUT_MS,
        'within the timeout, although one client never read',
      )
      t.equal(service.stderr, '')
    },
  )
}

import type { IncomingMessage } from 'node:http'
import { readFile, readdir } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { parse } from 'yaml'
import { Nginx } from '../tools/harness/nginx.js'
import { findRoute } from '../lib/forwarded.js'
import { createToken, startApp } from './harness/app.js'
import { createDatabase } from './harness/database.js'
import { needs } from './harness/needs.js'
import { bearer } from './harness/people.js'
import { OUTAGE_SERVER, RECIPES_BY_NAME, startProxy } from './harness/proxies.js'
import { TcpProxy } from './harness/tcp-proxy.js'
import { eventually } from '../tools/harness/eventually.js'
import { Watcher, listen } from './harness/watcher.js'

/** Waits until the proxy has forwarded requests to both instances. */
async function bothUsed(origin: string): Promise<void> {
  const used = new Set<number>()
  const listeners = apps.map(({ server }, nth) => {
    const notice = ({ url }: IncomingMessage) => {
      if (url === '/health') used.add(nth)
    }
    server.on('request', notice)
    return () => server.off('request', notice)
  })
  await eventually('both instances to be used', async () => {
    await (await fetch(`${origin}/health`)).text()
    return used.size === apps.length
  })
  for (const stop of listeners) stop()
}

interface Proxy {
  /** The program that must be installed. */
  program: string
  /** Starts the proxy in front of two ports. It is ended when the test ends. */
  start: (t: Test, ports: readonly [number, number]) => Promise<string>
  /** Minimum time by which the proxy delays its response to a stream during an outage, in ms. */
  holdsMs: number
  /** Whether a write is sent to the other instance if the first accepts no connection. */
  sparesWrites: boolean
  /** The entity tag of revision 1 of a compressed response. */
  tag: string
}

const TAGS: Record<string, string> = { HAProxy: 'W/"1"', Caddy: '"1"', Varnish: 'W/"1"', Apache: '"1-gzip"' }
const HOLDS_MS: Record<string, number> = { HAProxy: 1500, Caddy: 1500 }

/** Names of the proxies with `sparesWrites`. Caddy has it, too, in versions that are newer than Debian's. */
const SPARES_WRITES = new Set(['HAProxy', 'Apache'])

const PROXIES: Record<string, Proxy> = {
  nginx: {
    program: 'nginx',
    start: async (t, ports) => {
      const nginx = await Nginx.start(ports)
      t.teardown(() => nginx.stop())
      return nginx.origin
    },
    holdsMs: 500,
    sparesWrites: true,
    tag: 'W/"1"',
  },
  ...Object.fromEntries(
    Object.entries(RECIPES_BY_NAME).map(([name, recipe]): [string, Proxy] => [
      name,
      {
        program: recipe.program,
        start: (t, ports) => startProxy(t, recipe, ports),
        holdsMs: HOLDS_MS[name] ?? 0,
        sparesWrites: SPARES_WRITES.has(name),
        tag: TAGS[name] ?? '',
      },
    ]),
  ),
}

const config = { databaseUrl: await createDatabase(t), TRUST_PROXY: ['127.0.0.1'], HEARTBEAT_MS: 300 }
const apps = [await startApp(t, config), await startApp(t, config)] as const
const direct = await listen(apps[0])
const token = await createToken(apps[0].db, 'editor')
const instances = [await TcpProxy.open(t, direct), await TcpProxy.open(t, await listen(apps[1]))] as const
const [first, second] = instances

const post = (origin: string, item: object) =>
  fetch(`${origin}/api/items`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify(item),
  })
const seenNumbers = ({ events }: Watcher) => events.map(({ data }) => data.part_number)

const OUTAGE = /^retry: ([2-5]\d{3})\nevent: server\.state\ndata: (\{"mode":"degraded" ?\})\n\n$/
/** Requests for a stream (`STREAMS`) and for a page (`PAGES`) during an outage. */
const STREAMS = [
  { query: '', accept: 'text/event-stream' },
  { query: '', accept: '*/*' },
  { query: '?since=earliest', accept: 'text/event-stream, */*;q=0.1' },
  { query: '?last=3', accept: 'text/event-stream' },
  { query: '?last_event_id=x', accept: '*/*' },
]
const PAGES = [
  { query: '', accept: 'application/json' },
  { query: '?last=3', accept: '*/*' },
  { query: '?since=earliest&limit=5', accept: '*/*' },
]

for (const [name, proxy] of Object.entries(PROXIES)) {
  t.test(`behind ${name}`, needs(proxy.program), async (t) => {
    const origin = await proxy.start(t, [first.port, second.port])
    const stream = (query: string, accept: string) =>
      fetch(`${origin}/api/events${query}`, { headers: { ...bearer(token), accept } })

    const askAll = (all: { query: string; accept: string }[]) =>
      Promise.all(all.map(async (asked) => [asked, await stream(asked.query, asked.accept)] as const))

    await t.test('a stream is live, and resumes at the other instance', async (t) => {
      await bothUsed(origin)
      const watcher = await Watcher.open(t, origin, { token })
      await watcher.untilSeen('server.state', 2000)
      t.equal((await post(origin, { part_number: `${name}-1` })).status, 201)
      await watcher.untilEvents(1, 2000)
      await watcher.untilSeen('heartbeat', 2000)
      await Promise.all(instances.map((instance) => instance.stop()))
      await first.start()
      await watcher.untilEnded()
      await eventually(
        'the instance that is left',
        async () => (await fetch(`${origin}/health`)).status === 200,
      )
      const again = await Watcher.open(t, origin, { token, lastEventId: String(watcher.lastId) })
      const { seen } = await again.untilSeen('server.state')
      t.match(seen, [{ data: { mode: 'normal' } }])
      t.equal((await post(direct, { part_number: `${name}-2` })).status, 201)
      await again.untilEvents(1)
      t.strictSame(seenNumbers(again), [`${name}-2`])
      await second.start()
    })

    await t.test('during an outage a stream gets one event, and the missed events after it', async (t) => {
      await bothUsed(origin)
      const watcher = await Watcher.open(t, origin, { token })
      await watcher.untilSeen('heartbeat')
      await Promise.all(instances.map((instance) => instance.stop()))
      await watcher.untilEnded()
      await post(direct, { part_number: `${name}-3` })

      for (const [{ query, accept }, response] of await askAll(STREAMS)) {
        t.equal(response.status, 200, `${query} ${accept}`)
        t.match(response.headers.get('content-type'), 'text/event-stream')
        t.match(response.headers.get('cache-control'), 'no-store')
        t.match(await response.text(), OUTAGE)
      }
      for (const [{ query, accept }, { status }] of await askAll(PAGES)) {
        t.match(status, /^50[234]$/, `${query} ${accept}`)
      }
      t.match((await post(origin, { part_number: `${name}-LOST` })).status, /^50[234]$/)
      await eventually('a response that is held back', async () => {
        const began = performance.now()
        await (await stream('', 'text/event-stream')).text()
        return performance.now() - began >= proxy.holdsMs
      })

      await Promise.all(instances.map((instance) => instance.start()))
      const restarted = performance.now()
      await eventually(
        'a write',
        async () => (await post(origin, { part_number: `${name}-4` })).status === 201,
        { timeoutMs: 8000 },
      )
      t.ok(performance.now() - restarted < 8000, 'restarted instances are used again soon')
      const again = await Watcher.open(t, origin, { token, lastEventId: String(watcher.lastId) })
      await again.untilEvents(2)
      t.strictSame(
        seenNumbers(again),
        [`${name}-3`, `${name}-4`],
        'each event once, and none of the failed write',
      )
      t.notOk(again.seen.some(({ type }) => type === 'reset'))
    })

    await bothUsed(origin)
    if (proxy.sparesWrites) {
      await t.test('no write fails while one of two instances is stopped', async (t) => {
        await first.stop()
        const statuses = await Promise.all(
          [1, 2, 3, 4].map(async (nth) => (await post(origin, { part_number: `${name}-5-${nth}` })).status),
        )
        t.strictSame(statuses, [201, 201, 201, 201])
        await first.start()
        await bothUsed(origin)
      })
    }

    await t.test('a write that may have arrived is not retried', async (t) => {
      let arrived = 0
      const crash = ({ headers, socket }: IncomingMessage) => {
        if (headers['x-crash'] === undefined) return
        arrived += 1
        socket.destroy()
      }
      for (const { server } of apps) server.prependListener('request', crash)
      t.teardown(() => apps.forEach(({ server }) => server.off('request', crash)))
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
        arrived = 0
        const body = method === 'DELETE' ? null : '{}'
        // Some close the client's connection when a reused upstream connection breaks, as RFC 9110, section
        // 9.2.2, suggests.
        const result = await fetch(`${origin}/api/items/X`, {
          method,
          body,
          headers: { 'x-crash': '1' },
        }).then(
          ({ status }) => status,
          () => 'closed',
        )
        t.match(String(result), /^50[234]$|^closed$/, method)
        t.equal(arrived, 1, method)
      }
    })

    await t.test('forwarded headers are those of the proxy, and not those of the client', async (t) => {
      const seen: IncomingMessage['headers'][] = []
      const notice = ({ headers }: IncomingMessage) => void seen.push(headers)
      for (const { server } of apps) server.on('request', notice)
      t.teardown(() => apps.forEach(({ server }) => server.off('request', notice)))
      const isLinux = process.platform === 'linux'
      const dispatcher = new Agent({ localAddress: isLinux ? '127.0.0.2' : '127.0.0.1' })
      t.teardown(() => dispatcher.destroy())
      const { body } = await request(`${origin}/api/auth/session`, {
        dispatcher,
        headers: {
          'x-forwarded-for': '198.51.100.1',
          'x-forwarded-proto': 'https',
          'x-forwarded-host': 'evil.example',
          'x-request': name,
        },
      })
      await body.dump()
      const headers = seen.find((headers) => headers['x-request'] === name) ?? {}
      const { client } = findRoute(
        '127.0.0.1',
        String(headers['x-forwarded-for']),
        (address) => address === '127.0.0.1' && isLinux,
      )
      t.equal(client, isLinux ? '127.0.0.2' : '127.0.0.1')
      t.equal(headers['x-forwarded-proto'], 'http')
      t.equal(headers['x-forwarded-host'], new URL(origin).host)
      t.equal(headers.host, new URL(origin).host)
    })

    await t.test('an item from a compressed response is updated with the tag of that response', async (t) => {
      const part_number = `${name}-LARGE`
      const long_description = 'x'.repeat(5000)
      t.equal((await post(origin, { part_number, long_description })).status, 201)
      const url = `${origin}/api/items/${part_number}`
      const read = await request(url, { headers: { ...bearer(token), 'accept-encoding': 'gzip' } })
      t.equal(read.headers['content-encoding'], 'gzip')
      const item = JSON.parse(gunzipSync(await read.body.arrayBuffer()).toString()) as object
      t.match(item, { part_number, long_description })
      const etag = String(read.headers.etag)
      t.equal(etag, proxy.tag)
      const put = async (ifMatch: string) => {
        const response = await fetch(url, {
          method: 'PUT',
          headers: { ...bearer(token), 'content-type': 'application/json', 'if-match': ifMatch },
          body: '{"description":"new"}',
        })
        return response.status
      }
      const readIf = async (ifNoneMatch: string) => {
        const response = await request(url, {
          headers: { ...bearer(token), 'accept-encoding': 'gzip', 'if-none-match': ifNoneMatch },
        })
        await response.body.dump()
        return response.statusCode
      }
      t.equal(await readIf(etag), 304)
      t.equal(await put(etag.replace('1', '2')), 412, 'a revision that does not exist yet')
      t.equal(await put(etag), 200)
      t.equal(await put(etag), 412, 'it is the tag of the previous revision')
      t.equal(await readIf(etag), 200)
      t.equal(await readIf(etag.replace('1', '2')), 304)
    })
  })
}

const recipeFolder = new URL('deploy/proxies/', import.meta.resolve('#root'))
const read = (file: string): Promise<string> => readFile(new URL(file, recipeFolder), 'utf8')

const STRICT = { additionalProperties: false }
const LoadBalancer = Type.Object(
  {
    servers: Type.Array(Type.Object({ url: Type.String() }, STRICT)),
    healthCheck: Type.Optional(
      Type.Object({ path: Type.String(), interval: Type.String(), timeout: Type.String() }, STRICT),
    ),
    serversTransport: Type.Optional(Type.String()),
  },
  STRICT,
)
/** The part of Traefik's dynamic configuration that the recipe uses. */
const TraefikRouting = Type.Object(
  {
    http: Type.Object(
      {
        routers: Type.Record(
          Type.String(),
          Type.Object(
            {
              rule: Type.String(),
              entryPoints: Type.Array(Type.String()),
              service: Type.String(),
              middlewares: Type.Optional(Type.Array(Type.String())),
              priority: Type.Optional(Type.Integer()),
            },
            STRICT,
          ),
        ),
        middlewares: Type.Record(
          Type.String(),
          Type.Object(
            { compress: Type.Object({ includedContentTypes: Type.Array(Type.String()) }, STRICT) },
            STRICT,
          ),
        ),
        services: Type.Record(
          Type.String(),
          Type.Union([
            Type.Object({ loadBalancer: LoadBalancer }, STRICT),
            Type.Object(
              { failover: Type.Object({ service: Type.String(), fallback: Type.String() }, STRICT) },
              STRICT,
            ),
          ]),
        ),
        serversTransports: Type.Record(
          Type.String(),
          Type.Object({ forwardingTimeouts: Type.Object({ dialTimeout: Type.String() }, STRICT) }, STRICT),
        ),
      },
      STRICT,
    ),
  },
  STRICT,
)
const TraefikStart = Type.Object(
  {
    entryPoints: Type.Record(Type.String(), Type.Object({ address: Type.String() }, STRICT)),
    providers: Type.Object({ file: Type.Object({ filename: Type.String() }, STRICT) }, STRICT),
  },
  STRICT,
)

t.test("Traefik's recipe refers only to what it declares", async (t) => {
  const routing: unknown = parse(await read('traefik-routing.yml'))
  t.strictSame([...Value.Errors(TraefikRouting, routing)], [])
  const { http } = Value.Parse(TraefikRouting, routing)
  const start: unknown = parse(await read('traefik.yml'))
  t.strictSame([...Value.Errors(TraefikStart, start)], [])
  const { entryPoints, providers } = Value.Parse(TraefikStart, start)
  t.match(providers.file.filename, /\/traefik-routing\.yml$/)
  for (const [name, router] of Object.entries(http.routers)) {
    t.ok(router.service in http.services, name)
    for (const entryPoint of router.entryPoints) t.ok(entryPoint in entryPoints, name)
    for (const middleware of router.middlewares ?? []) t.ok(middleware in http.middlewares, name)
  }
  for (const [name, service] of Object.entries(http.services)) {
    if ('failover' in service) {
      const main = http.services[service.failover.service]
      t.ok(
        main && 'loadBalancer' in main && main.loadBalancer.healthCheck,
        `${name}: a failover needs a health check`,
      )
      t.ok(service.failover.fallback in http.services, name)
    } else t.ok((service.loadBalancer.serversTransport ?? 'silo') in http.serversTransports, name)
  }
  t.match(http.services.silo, {
    loadBalancer: { servers: [{ url: 'http://silo-1:8080' }, { url: 'http://silo-2:8080' }] },
  })
})

t.test('the outage response that Traefik falls back to is an event stream', needs('caddy'), async (t) => {
  const response = await fetch(`${await startProxy(t, OUTAGE_SERVER, [0, 0])}/api/events`)
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), 'text/event-stream')
  t.match(await response.text(), OUTAGE)
})

t.test('the README of the recipes has a section for each file', async (t) => {
  const readme = await read('README.md')
  for (const file of await readdir(recipeFolder)) {
    if (file !== 'README.md') t.ok(readme.includes(`(${file})`), file)
  }
  for (const name of [...Object.keys(RECIPES_BY_NAME), 'Traefik']) t.match(readme, `\n## ${name}\n`)
})

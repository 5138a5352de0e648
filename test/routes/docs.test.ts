import { Parser } from '@asyncapi/parser'
import type { TObject } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { EVENT_DATA } from '../../schemas/events.js'
import { createToken, startApp } from '../harness/app.js'
import { clientAs } from '../harness/client.js'
import { Watcher, listen } from '../harness/watcher.js'

/** Returns the errors of `data` by the schema of this type of event. */
function errorsOf(app: FastifyInstance, type: string, data: unknown): unknown[] {
  const schema = Object.entries<TObject>(EVENT_DATA).find(([known]) => known === type)?.[1]
  if (!schema) return [`${type} has no schema`]
  const checked = app.compileCheck(schema)(data)
  return 'errors' in checked ? checked.errors : []
}

const GRAVE = new Set<number>([0, 1])

t.test('the AsyncAPI document of the feed is valid for the parser of the AsyncAPI initiative', async (t) => {
  const app = await startApp(t, { PUBLIC_URL: ['https://silo.example:8443'] })
  const res = await app.inject({ url: '/api/asyncapi.json' })
  t.equal(res.statusCode, 200)
  const { document, diagnostics } = await new Parser().parse(res.body)
  t.strictSame(
    diagnostics
      .filter(({ severity }) => GRAVE.has(severity))
      .map(({ message, path }) => [message, path.join('.')]),
    [],
    'neither errors nor warnings',
  )
  if (!document) throw new Error('there is no document')
  t.equal(document.version(), '3.0.0')
  t.equal(document.servers().get('silo')?.host(), 'silo.example:8443')
  t.equal(document.channels().get('events')?.address(), '/api/events')
  const messages = document.operations().get('follow')?.messages().all() ?? []
  t.strictSame(messages.map((message) => message.name()).sort(), Object.keys(EVENT_DATA).sort())
  for (const message of messages) {
    for (const example of message.examples()) {
      t.strictSame(
        errorsOf(app, String(message.name()), example.payload()),
        [],
        'the example matches its schema',
      )
    }
  }
})

t.test('every event on the wire matches its schema', async (t) => {
  const app = await startApp(t, { HEARTBEAT_MS: 100 })
  const origin = await listen(app)
  const watcher = await Watcher.open(t, origin, {
    token: await createToken(app.db, 'viewer'),
    lastEventId: 'not-a-cursor',
  })
  const send = await clientAs(app, 'editor', 'mara')
  await send('POST', '/api/items', { payload: { part_number: 'A01-0001', description: 'Winding unit' } })
  await send('PUT', '/api/items/A01-0001', { payload: { description: 'Winder', comment: 'Shorter' } })
  await send('DELETE', '/api/items/A01-0001')
  await watcher.untilSeen('item.deleted')
  await watcher.untilSeen('heartbeat')
  for (const [type, schema] of Object.entries(EVENT_DATA)) {
    const seen = watcher.seen.find((event) => event.type === type)
    t.strictSame(Object.keys(seen?.data ?? {}), Object.keys(schema.properties), `the keys of ${type}`)
    t.strictSame(errorsOf(app, type, seen?.data), [], type)
  }
  t.strictSame(
    [...new Set(watcher.seen.map(({ type }) => type))].sort(),
    Object.keys(EVENT_DATA).sort(),
    'there is no other event',
  )
})

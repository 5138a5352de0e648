/** Fastify with @fastify/sse: every event is sent to each reply in a list. */
import { fastifySSE } from '@fastify/sse'
import Fastify, { type FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { listenAndTell } from './peer.js'

const app = Fastify()
await app.register(fp(fastifySSE))
const watchers = new Set<FastifyReply>()
let serial = 0

app.post('/publish', (request, reply) => {
  reply.code(202).send()
  const message = { id: `64bd730d-${++serial}`, event: 'item.created', data: request.body }
  for (const watcher of watchers) void watcher.sse.send(message)
})
app.get('/events', { sse: 'only' }, async (_request, reply) => {
  reply.sse.keepAlive()
  reply.sse.sendHeaders()
  reply.raw.flushHeaders()
  watchers.add(reply)
  reply.sse.onClose(() => watchers.delete(reply))
})
await app.ready()
listenAndTell(app.server)

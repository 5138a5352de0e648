import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'

/** How long a route may take to answer, from the head of its request on, unless it says so itself, in ms. */
const DEFAULT_MS = 15_000
/** How often it is looked who has waited too long, in ms. */
const LOOK_MS = 500
/** Who takes nothing of an answer for this long is cut, in ms. */
const STALL_MS = 60_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long the route may take to answer, in ms. */
    timeoutMs?: number
  }
  interface FastifyRequest {
    /** It was answered for want of time; its handler may still be at work. */
    isGivenUp: boolean
    /** By when it must be answered, by `performance.now`. */
    due: number
    /** Its place among those that wait for an answer; below 0 when it has none. */
    place: number
  }
}

function giveUp(reply: FastifyReply): void {
  const { request, raw } = reply
  if (reply.sent) return
  if (raw.headersSent) return void raw.destroy()
  request.isGivenUp = true
  reply.send(new ApiError(request.raw.complete ? 'overloaded' : 'request_timeout'))
}

/**
 * Answers whoever has waited too long, for a session of the database or for a body that does not come, and cuts off whoever
 * does not take the answer. One timer looks after all: Fastify's `handlerTimeout` makes a timer and an `AbortController` for each
 * request, 3 to 5 % of the time of a request, and its `connectionTimeout` a timer for each socket (docs/decisions/0011).
 */
export default fp(
  async (app) => {
    // No map: a request that is put into one and taken out again outlives its answer in V8, and is copied twice by its collector.
    const waiting: FastifyReply[] = []

    function leave(reply: FastifyReply): void {
      const { place } = reply.request
      if (place < 0) return
      reply.request.place = -1
      const last = waiting.pop()
      if (!last || last === reply) return
      waiting[place] = last
      last.request.place = place
    }

    app.decorateRequest('isGivenUp', false)
    app.decorateRequest('due', 0)
    app.decorateRequest('place', -1)
    app.addHook('onRequest', (request, reply, done) => {
      request.due = performance.now() + (request.routeOptions.config.timeoutMs ?? DEFAULT_MS)
      request.place = waiting.push(reply) - 1
      done()
    })
    app.addHook('onResponse', (_request, reply, done) => {
      leave(reply)
      done()
    })
    const timer = setInterval(() => {
      const now = performance.now()
      for (const reply of [...waiting]) {
        // A stream has taken its reply over, and has as much time as it likes.
        if (!reply.sent && reply.request.due > now) continue
        leave(reply)
        // A socket that has had a timer once has it moved by every write, so only who is slow to take an answer is given one.
        if (reply.raw.writableEnded) reply.raw.setTimeout(STALL_MS)
        else giveUp(reply)
      }
    }, LOOK_MS)
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'handler-timeout' },
)

import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'

/** Default timeout of a request, from its headers to the response, in ms. */
const DEFAULT_MS = 15_000
/** How often pending requests are checked, in ms. */
const LOOK_MS = 500

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Timeout of the route's requests, in ms. */
    timeoutMs?: number
  }
  interface FastifyRequest {
    /** Whether an error was sent because the request timed out; its handler may still be running. */
    isGivenUp: boolean
    /** When the request times out, by `performance.now`. */
    due: number
    /** Index in the list of pending requests; -1 when it is not in the list. */
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
 * Ends requests that time out: with `overloaded` if they wait for a database connection, with
 * `request_timeout` if their body does not arrive. Destroys the sockets of clients that don't read their
 * response.
 *
 * One timer checks all requests. Fastify's `handlerTimeout` creates a timer and an `AbortController` for each
 * request, and its `connectionTimeout` a timer for each socket (docs/decisions/0011).
 */
export default fp(
  async (app) => {
    // An array, not a Map: a hash table of V8 keeps deleted entries reachable until the next full garbage
    // collection (docs/decisions/0011).
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
        // A stream has hijacked its reply and has no timeout.
        if (!reply.sent && reply.request.due > now) continue
        leave(reply)
        // Every write restarts the timer of a socket that has had one, so only the sockets of slow clients
        // get one.
        if (reply.raw.writableEnded) reply.raw.setTimeout(STALL_TIMEOUT_MS)
        else giveUp(reply)
      }
    }, LOOK_MS)
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'handler-timeout' },
)

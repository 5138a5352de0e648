import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'

/** Default timeout of a request, from its headers to the response, in ms. */
const DEFAULT_MS = 15_000
/** How often pending requests are checked, in ms. */
const CHECK_MS = 500

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Timeout of the route's requests, in ms. */
    timeoutMs?: number
  }
  interface FastifyRequest {
    /** Whether an error was sent because the request timed out; its handler may still be running. */
    isTimedOut: boolean
    /** When the request times out, by `performance.now`. */
    deadline: number
    /** Index in the list of pending requests; -1 when it is not in the list. */
    pendingIndex: number
  }
}

function timeOut(reply: FastifyReply): void {
  const { request, raw } = reply
  if (reply.sent) return
  if (raw.headersSent) return void raw.destroy()
  request.isTimedOut = true
  reply.send(new ApiError(request.raw.complete ? 'overloaded' : 'request_timeout'))
}

/**
 * Ends requests that time out: with `overloaded` if they wait for a database connection, with
 * `request_timeout` if their body does not arrive. Destroys the sockets of clients that don't read their
 * response.
 *
 * Fastify's `handlerTimeout` does not apply to requests with a body, and its `connectionTimeout` sets a timer
 * on each socket (docs/decisions/0011).
 */
export default fp(
  async (app) => {
    // An array, not a Map: a hash table of V8 keeps deleted entries reachable until the next full garbage
    // collection (docs/decisions/0011).
    const pending: FastifyReply[] = []

    function remove(reply: FastifyReply): void {
      const { pendingIndex } = reply.request
      if (pendingIndex < 0) return
      reply.request.pendingIndex = -1
      const last = pending.pop()
      if (!last || last === reply) return
      pending[pendingIndex] = last
      last.request.pendingIndex = pendingIndex
    }

    app.decorateRequest('isTimedOut', false)
    app.decorateRequest('deadline', 0)
    app.decorateRequest('pendingIndex', -1)
    app.addHook('onRequest', (request, reply, done) => {
      request.deadline = performance.now() + (request.routeOptions.config.timeoutMs ?? DEFAULT_MS)
      request.pendingIndex = pending.push(reply) - 1
      done()
    })
    app.addHook('onResponse', (_request, reply, done) => {
      remove(reply)
      done()
    })
    const timer = setInterval(() => {
      const now = performance.now()
      for (const reply of [...pending]) {
        // A stream has hijacked its reply and has no timeout.
        if (!reply.sent && reply.request.deadline > now) continue
        remove(reply)
        // Every write restarts the timer of a socket that has had one, so only the sockets of slow clients
        // get one.
        if (reply.raw.writableEnded) reply.raw.setTimeout(STALL_TIMEOUT_MS)
        else timeOut(reply)
      }
    }, CHECK_MS)
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'handler-timeout' },
)

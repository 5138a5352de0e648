import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'

/** How long a route may take to answer, from the head of its request on, unless it says so itself, in ms. */
const DEFAULT_MS = 15_000
/** How often it is looked who has waited too long, in ms. */
const LOOK_MS = 500

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long the route may take to answer, in ms. */
    timeoutMs?: number
  }
  interface FastifyRequest {
    /** It was answered for want of time; its handler may still be at work. */
    isGivenUp: boolean
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
 * Answers whoever has waited too long, for a session of the database or for a body that does not come. One timer looks after
 * all: Fastify's `handlerTimeout` makes a timer and an `AbortController` for each request, 3 to 5 % of the time of a request
 * (docs/decisions/0011).
 */
export default fp(
  async (app) => {
    const due = new Map<FastifyReply, number>()
    app.decorateRequest('isGivenUp', false)
    app.addHook('onRequest', (request, reply, done) => {
      due.set(reply, performance.now() + (request.routeOptions.config.timeoutMs ?? DEFAULT_MS))
      done()
    })
    app.addHook('onResponse', (_request, reply, done) => {
      due.delete(reply)
      done()
    })
    const timer = setInterval(() => {
      const now = performance.now()
      for (const [reply, at] of due) {
        if (at > now) continue
        due.delete(reply)
        giveUp(reply)
      }
    }, LOOK_MS)
    app.addHook('onClose', async () => clearInterval(timer))
  },
  { name: 'handler-timeout' },
)

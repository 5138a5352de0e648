import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { networkOf } from '../lib/address.js'
import { usernameForm } from '../lib/username.js'
import type { Credentials } from '../schemas/auth.js'

const WINDOW_MS = 60_000

declare module 'fastify' {
  interface FastifyInstance {
    /** The hook (for `preHandler`, on bodies that hold `Credentials`) that bounds the guessing of passwords. */
    readonly limitSignIn: preHandlerAsyncHookHandler
  }
}

/** The client's network, behind a trusted proxy too: with IPv6, 64 bits, because a client is assigned that many at least. */
const address = (request: FastifyRequest): string => networkOf(request.ip, 64)

const username = (request: FastifyRequest): string =>
  usernameForm((request.body as Credentials).username).toLowerCase()

/** Counts every attempt to sign in, before any password is looked at. */
export default fp(
  async (app) => {
    await app.register(rateLimit, { global: false, timeWindow: WINDOW_MS })
    // One address that tries one user is held back before it counts against that user everywhere: alone it can't lock
    // somebody out.
    const limits = [
      app.createRateLimit({ max: 30, keyGenerator: address }),
      app.createRateLimit({ max: 10, keyGenerator: (request) => `${address(request)} ${username(request)}` }),
      app.createRateLimit({ max: 60, keyGenerator: username }),
    ]
    app.decorate('limitSignIn', async (request: FastifyRequest) => {
      for (const count of limits) {
        const limit = await count(request)
        if (!limit.isAllowed && limit.isExceeded) {
          throw new ApiError('rate_limited', { headers: { 'retry-after': String(limit.ttlInSeconds) } })
        }
      }
    })
  },
  { name: 'sign-in-limit' },
)

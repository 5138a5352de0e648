import type {
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
  preHandlerAsyncHookHandler,
  preValidationAsyncHookHandler,
} from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { networkOf } from '../lib/address.js'
import { deviceCookie, knownDevice } from '../lib/device.js'
import { usernameForm } from '../lib/username.js'
import { WindowCounters } from '../lib/window-counters.js'
import type { Credentials } from '../schemas/auth.js'
import type { Turn } from '../store/passwords.js'

/** The time over which attempts are counted, in ms. */
const WINDOW_MS = 60_000
/** How long a browser is remembered as known, in s. */
const DEVICE_SECONDS = 180 * 24 * 60 * 60
/**
 * Prefix lengths of the IPv6 networks that count as one client: those assigned to a site, a household and a
 * link.
 */
const IPV6_BITS = [48, 56, 64]

/** A counted attempt to sign in. */
export interface SignInAttempt extends Turn {
  /** Whether the user has signed in from this browser before. */
  readonly isKnownDevice: boolean
  /** Undoes the count: no password was checked. */
  uncount(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * A hook (for `preHandler`, on bodies that hold `Credentials`) that limits the guessing of passwords.
     * Throws `rate_limited`.
     */
    readonly limitSignIn: preHandlerAsyncHookHandler
    /**
     * Hooks that limit how many sign-ins a network begins and does not complete: bodies that are delayed, too
     * large, or no JSON. `onRequest` counts a request before its body is read and throws `rate_limited`;
     * `preValidation` undoes the count.
     */
    readonly limitSignInBodies: {
      onRequest: onRequestAsyncHookHandler
      preValidation: preValidationAsyncHookHandler
    }
  }
  interface FastifyRequest {
    /** Set by `limitSignIn`. */
    signInAttempt: SignInAttempt
    /** Undoes the count of `limitSignInBodies`. */
    uncountSignInBody: (() => void) | undefined
  }
  interface FastifyReply {
    /** Sets the cookie that identifies this browser as one from which the user has signed in. */
    rememberDevice(username: string): void
  }
}

interface Limit {
  key: string
  max: number
}

const usernameOf = (request: FastifyRequest): string =>
  usernameForm((request.body as Credentials).username).toLowerCase()

/** Returns the networks of a client, the largest first. For IPv4 it is only the address. */
function networksOf(request: FastifyRequest): string[] {
  return [...new Set(IPV6_BITS.map((bits) => networkOf(request.ip, bits)))]
}

/** Returns the limits of an attempt from an unknown browser. They don't depend on whether the user exists. */
function limitsOf(request: FastifyRequest, username: string): Limit[] {
  // The smallest network has the lowest limit; a network that contains it has a slightly higher one.
  const networks = networksOf(request).reverse()
  return [
    ...networks.map((network, i) => ({ key: `network ${network}`, max: 30 * (i + 1) })),
    // A network that guesses the password of one user reaches this limit before that user's own, which all
    // networks share.
    ...networks.map((network, i) => ({ key: `pair ${network} ${username}`, max: 10 * (i + 1) })),
    { key: `user ${username}`, max: 60 },
  ]
}

/**
 * Limits the attempts to sign in for which a password is checked. The cost of scrypt bounds their number, so
 * each is counted exactly, and a flood of other requests evicts no count. A browser from which the user has
 * signed in before has a limit of its own, which other clients can't use up (docs/decisions/0033).
 */
export default fp(
  async (app) => {
    const counters = new WindowCounters(WINDOW_MS)
    const key = app.config.JWT_SECRET
    const cookieName = (request: FastifyRequest): string =>
      app.site.cookieName(request).replace('silo_session', 'silo_device')
    const cookieOf = (request: FastifyRequest): string => request.cookies[cookieName(request)] ?? ''

    app.decorateRequest('signInAttempt', {
      getter() {
        throw new Error('this route is not limited by limitSignIn')
      },
    })
    /** @throws {ApiError} `rate_limited` if a limit is reached */
    function refuseExceeded(limits: readonly Limit[]): void {
      const exceeded = limits.filter(({ key, max }) => counters.get(key) >= max)
      if (exceeded.length === 0) return
      const ms = Math.max(...exceeded.map(({ key }) => counters.msLeft(key)))
      throw new ApiError('rate_limited', {
        headers: { 'retry-after': String(Math.max(1, Math.ceil(ms / 1000))) },
      })
    }

    app.decorateRequest('uncountSignInBody', undefined)
    app.decorate('limitSignInBodies', {
      onRequest: async (request: FastifyRequest) => {
        // The device cookie can be verified only with the username, which is in the body. A request that has
        // such a cookie gets a higher limit, so that other clients must send more to use it up.
        const factor = cookieOf(request) === '' ? 1 : 4
        const limits = networksOf(request)
          .reverse()
          .map((network, i) => ({ key: `bodies ${network}`, max: 30 * (i + 1) * factor }))
        refuseExceeded(limits)
        const counted = limits.map(({ key }) => counters.count(key))
        request.uncountSignInBody = () => counted.forEach((uncount) => uncount())
      },
      preValidation: async (request: FastifyRequest) => request.uncountSignInBody?.(),
    })
    app.decorate('limitSignIn', async (request: FastifyRequest) => {
      const username = usernameOf(request)
      const device = knownDevice(key, cookieOf(request), username)
      const limits =
        device === undefined ? limitsOf(request, username) : [{ key: `device ${device}`, max: 10 }]
      refuseExceeded(limits)
      const counted = limits.map(({ key }) => counters.count(key))
      const largest = networksOf(request)[0]
      Object.defineProperty(request, 'signInAttempt', {
        value: {
          // Attempts from the network with the fewest attempts run first, however many networks there are.
          rank: device === undefined ? counters.get(`network ${largest}`) : 0,
          isAbandoned: () => request.isTimedOut || request.raw.socket.destroyed,
          isKnownDevice: device !== undefined,
          uncount: () => counted.forEach((uncount) => uncount()),
        } satisfies SignInAttempt,
      })
    })
    app.decorateReply('rememberDevice', function (this: FastifyReply, username: string) {
      const { request } = this
      const value = deviceCookie(key, cookieOf(request), usernameForm(username).toLowerCase())
      this.setCookie(cookieName(request), value, {
        path: '/',
        httpOnly: true,
        sameSite: 'strict',
        secure: app.site.isSecure(request),
        maxAge: DEVICE_SECONDS,
      })
    })
  },
  { name: 'sign-in-limit', dependencies: ['auth', 'site'] },
)

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

const WINDOW_MS = 60_000
/** How long a browser is remembered, in seconds. */
const DEVICE_SECONDS = 180 * 24 * 60 * 60
/** The bits of the IPv6 networks that count as one client: what a site, a household and a link are assigned. */
const IPV6_BITS = [48, 56, 64]

/** An attempt to sign in that was counted. */
export interface SignInAttempt extends Turn {
  /** A browser in which this user has signed in before. */
  readonly isKnownDevice: boolean
  /** Takes the count back: no password was looked at. */
  takeBack(): void
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The hook (for `preHandler`, on bodies that hold `Credentials`) that bounds the guessing of passwords. */
    readonly limitSignIn: preHandlerAsyncHookHandler
    /**
     * The hooks that bound the bodies of sign-ins which a network begins and does not finish: held back, too large, or no JSON. They
     * count before the body is read, and take the count back once it is.
     */
    readonly limitSignInBodies: {
      onRequest: onRequestAsyncHookHandler
      preValidation: preValidationAsyncHookHandler
    }
  }
  interface FastifyRequest {
    /** Set by `limitSignIn`. */
    signInAttempt: SignInAttempt
    /** Takes back what `limitSignInBodies` has counted. */
    takeBackSignInBody: (() => void) | undefined
  }
  interface FastifyReply {
    /** Lets the browser be known as one in which this user has signed in. */
    rememberDevice(username: string): void
  }
}

interface Limit {
  key: string
  max: number
}

const usernameOf = (request: FastifyRequest): string =>
  usernameForm((request.body as Credentials).username).toLowerCase()

/** The networks of a client, the largest first. One of IPv4 is its address. */
function networksOf(request: FastifyRequest): string[] {
  return [...new Set(IPV6_BITS.map((bits) => networkOf(request.ip, bits)))]
}

/** What an attempt from an unknown browser counts against. The same for a name that exists and for one that doesn't. */
function limitsOf(request: FastifyRequest, username: string): Limit[] {
  // The smallest network has the tightest limit; one that contains it allows a little more.
  const networks = networksOf(request).reverse()
  return [
    ...networks.map((network, i) => ({ key: `network ${network}`, max: 30 * (i + 1) })),
    // One network that tries one user is held back before it counts against that user everywhere.
    ...networks.map((network, i) => ({ key: `pair ${network} ${username}`, max: 10 * (i + 1) })),
    { key: `user ${username}`, max: 60 },
  ]
}

/**
 * Counts the attempts to sign in for which a password is looked at. As scrypt bounds how many those are, each is counted exactly,
 * and no flood of others makes a count forgotten. A browser in which the user has signed in before has a limit of its own, so
 * that other clients can't use it up (docs/decisions/0033-a-known-browser-has-a-limit-of-its-own.md).
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
    /** @throws {ApiError} rate_limited where a limit is used up */
    function refuseExceeded(limits: readonly Limit[]): void {
      const exceeded = limits.filter(({ key, max }) => counters.get(key) >= max)
      if (exceeded.length === 0) return
      const ms = Math.max(...exceeded.map(({ key }) => counters.msLeft(key)))
      throw new ApiError('rate_limited', {
        headers: { 'retry-after': String(Math.max(1, Math.ceil(ms / 1000))) },
      })
    }

    app.decorateRequest('takeBackSignInBody', undefined)
    app.decorate('limitSignInBodies', {
      onRequest: async (request: FastifyRequest) => {
        // Whether a browser is known for its user shows in the body: where it says so, others must use up more.
        const factor = cookieOf(request) === '' ? 1 : 4
        const limits = networksOf(request)
          .reverse()
          .map((network, i) => ({ key: `bodies ${network}`, max: 30 * (i + 1) * factor }))
        refuseExceeded(limits)
        const counted = limits.map(({ key }) => counters.count(key))
        request.takeBackSignInBody = () => counted.forEach((takeBack) => takeBack())
      },
      preValidation: async (request: FastifyRequest) => request.takeBackSignInBody?.(),
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
          // A network that has tried least is next, however many networks try.
          rank: device === undefined ? counters.get(`network ${largest}`) : 0,
          isAbandoned: () => request.isGivenUp || request.raw.socket.destroyed,
          isKnownDevice: device !== undefined,
          takeBack: () => counted.forEach((takeBack) => takeBack()),
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

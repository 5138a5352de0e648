import fastifyAuth from '@fastify/auth'
import fastifyCookie from '@fastify/cookie'
import fastifyJwt from '@fastify/jwt'
import type { FastifyReply, FastifyRequest, onRequestAsyncHookHandler, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { batched } from '../lib/batch.js'
import { within } from '../lib/deadline.js'
import { singleFlight } from '../lib/single-flight.js'
import { ApiError } from '../errors.js'
import { ROLES, type Role } from '../schemas/auth.js'
import { UUID } from '../schemas/uuid.js'
import { hashApiToken, isApiToken } from '../store/api-token.js'
import {
  type Principal,
  findPrincipalsByHash,
  findPrincipalsBySession,
  noteUses,
  revokeSession,
} from '../store/tokens.js'

/** The cookie of earlier versions. Deleted where a browser still has it. */
const OLD_COOKIE = 'silo_session'

/** How long a credential is cached, in ms: a revocation takes up to this long to take effect. */
const PRINCIPAL_TTL_MS = 2000
/** Timeout of ending a session in the database, in ms. */
const END_SESSION_MS = 2000
/** How often ending a session in the database is retried, in ms. */
const RETRY_END_MS = 1000
/** How often the use of one API token is recorded, in ms. */
const NOTE_USE_MS = 60_000

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** `jti` is the id of the session's row in `tokens`. The JWT never contains rights. */
    payload: { jti: string; exp: number }
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The authenticated user and token. Set by `requireRole`; throws on a route without it. */
    principal: Principal
  }
  interface FastifyReply {
    /** Sets the session's cookie. Returns the same JWT, for clients that send it as a bearer token. */
    startSession(session: Principal): string
    /** Deletes the session's cookie. Does not end the session in the database. */
    endSession(): void
  }
  interface FastifyInstance {
    /**
     * Returns a hook (for `onRequest`) that requires at least this role. The hook throws `unauthenticated`,
     * `forbidden`, or `cross_origin` for a write by cookie from another site's page.
     */
    requireRole(role: Role): onRequestHookHandler
    /** A hook (for `onRequest`) that refuses requests from another site's page. Throws `cross_origin`. */
    readonly requireSameOrigin: onRequestAsyncHookHandler
    /**
     * Returns the user and token of a request that is authenticated. For routes that also serve
     * unauthenticated clients; guards nothing.
     */
    findPrincipal(request: FastifyRequest): Promise<Principal | undefined>
    /** Returns the id of the session in the request's cookie, even if the session was ended. */
    sessionOfCookie(request: FastifyRequest): string | undefined
    /**
     * Returns the id of the session in the request's bearer token or cookie, even if the session was ended.
     */
    sessionOf(request: FastifyRequest): string | undefined
    /**
     * Ends a session on this instance at once, and in the database as soon as that can be reached. Waits up
     * to 2 s for the database. Never rejects.
     */
    endSession(id: string): Promise<void>
    /**
     * Clears the cache of credentials. Must be called after every change of users or tokens, so that it takes
     * effect on this instance at once.
     */
    forgetPrincipals(): void
  }
}

/**
 * Returns the bearer token of the `Authorization` header; an empty string if the scheme is `Bearer` and no
 * token follows. Undefined without the header, and for any other scheme, which is meant for a proxy and
 * ignored here.
 */
function bearerOf({ headers: { authorization = '' } }: FastifyRequest): string | undefined {
  const [scheme = ''] = /^[\w!#$%&'*+.^`|~-]*/.exec(authorization) ?? []
  if (scheme.toLowerCase() !== 'bearer') return undefined
  const rest = authorization.slice(scheme.length)
  const token = rest.trim()
  return rest.startsWith(' ') && !/\s/.test(token) ? token : ''
}

const isWrite = (request: FastifyRequest): boolean => !['GET', 'HEAD', 'OPTIONS'].includes(request.method)

/**
 * Authenticates requests by bearer token (the JWT of a session, or an API token) or by the session's cookie,
 * and guards routes by role.
 */
export default fp(
  async (app) => {
    await app.register(fastifyAuth)
    await app.register(fastifyCookie)
    await app.register(fastifyJwt, {
      secret: app.config.JWT_SECRET,
      sign: { algorithm: 'HS256', noTimestamp: true },
      // The algorithm is pinned: a token may not choose how it is verified.
      verify: { algorithms: ['HS256'], requiredClaims: ['jti', 'exp'], allowedJti: UUID },
    })

    const queryBySession = batched((ids: readonly string[]) => findPrincipalsBySession(app.accessDb, ids))
    const queryByHash = batched((hashes: readonly string[]) => findPrincipalsByHash(app.accessDb, hashes))
    const noteUse = batched(async (ids: readonly string[]) => {
      await noteUses(app.accessDb, ids)
      return ids
    })

    const openPrincipals = () => new LRUCache<string, Principal>({ max: 10_000, ttl: PRINCIPAL_TTL_MS })
    let principals = openPrincipals()
    function forgetPrincipals(): void {
      principals = openPrincipals()
    }
    /** Sessions that were ended here and not yet in the database. */
    const unended = new LRUCache<string, true>({ max: 10_000 })
    const noted = new LRUCache<string, true>({ max: 10_000, ttl: NOTE_USE_MS })

    async function findCached(key: string, query: (key: string) => Promise<Principal | undefined>) {
      // A lookup that began before a change stores its result in the cache of that time, which is no longer
      // read.
      const cache = principals
      const known = cache.get(key)
      if (known && known.expires_at.getTime() > Date.now()) return known
      const found = await query(key)
      if (found) cache.set(key, found)
      return found
    }

    function sessionId(jwt: string): string | undefined {
      try {
        return app.jwt.verify<{ jti: string }>(jwt).jti
      } catch {
        return undefined
      }
    }

    async function findBySession(jwt: string): Promise<Principal | undefined> {
      const id = sessionId(jwt)
      return id === undefined || unended.has(id) ? undefined : findCached(id, queryBySession)
    }

    /** Records the use of a token. The request does not wait for it, and a failure is only logged. */
    function noteUseOf(token: Principal): void {
      if (app.mode.refusal || noted.has(token.token_id)) return
      noted.set(token.token_id, true)
      noteUse(token.token_id).catch((err: unknown) => {
        app.log.warn({ err }, 'failed to record the last use of a token')
      })
    }

    async function findByApiToken(secret: string): Promise<Principal | undefined> {
      const hash = hashApiToken(secret)
      const found = await findCached(hash, queryByHash)
      if (found) noteUseOf(found)
      return found
    }

    const cookieOf = (request: FastifyRequest): string | undefined =>
      request.headers.cookie === undefined ? undefined : request.cookies[app.site.cookieName(request)]

    /** With a bearer token, the cookie is ignored. The cookie is for browsers, which send no bearer token. */
    async function findPrincipal(request: FastifyRequest): Promise<Principal | undefined> {
      const bearer = bearerOf(request)
      if (bearer === undefined) {
        const cookie = cookieOf(request)
        return cookie === undefined ? undefined : findBySession(cookie)
      }
      return isApiToken(bearer) ? findByApiToken(bearer) : findBySession(bearer)
    }

    function sessionOfCookie(request: FastifyRequest): string | undefined {
      const cookie = cookieOf(request)
      return cookie === undefined ? undefined : sessionId(cookie)
    }

    function sessionOf(request: FastifyRequest): string | undefined {
      const bearer = bearerOf(request)
      return bearer === undefined ? sessionOfCookie(request) : sessionId(bearer)
    }

    async function endInDatabase(id: string): Promise<void> {
      try {
        await within(END_SESSION_MS, revokeSession(app.db, id))
        unended.delete(id)
      } catch (err) {
        app.log.warn({ err }, 'failed to end a session in the database; retrying')
      }
    }

    async function endSession(id: string): Promise<void> {
      unended.set(id, true)
      forgetPrincipals()
      await endInDatabase(id)
    }

    const endAll = singleFlight(() => Promise.all([...unended.keys()].map(endInDatabase)))
    const retry = setInterval(() => {
      if (!app.mode.databaseLost && unended.size > 0) void endAll()
    }, RETRY_END_MS).unref()
    app.addHook('onClose', async () => clearInterval(retry))

    /**
     * Whether the request comes from another site's page, by Fetch Metadata, or by `Origin` for browsers
     * without it.
     */
    function isCrossOrigin(request: FastifyRequest): boolean {
      const { origin, 'sec-fetch-site': site } = request.headers
      if (site !== undefined) return site !== 'same-origin' && site !== 'none'
      return origin !== undefined && !app.site.isOwnOrigin(origin, request)
    }

    async function requireSameOrigin(request: FastifyRequest): Promise<void> {
      if (isCrossOrigin(request)) throw new ApiError('cross_origin')
    }

    const isCookieBorne = (request: FastifyRequest): boolean =>
      bearerOf(request) === undefined && cookieOf(request) !== undefined

    async function refuseForeignCookieWrite(request: FastifyRequest): Promise<void> {
      if (isWrite(request) && isCookieBorne(request)) await requireSameOrigin(request)
    }

    async function authenticate(request: FastifyRequest): Promise<void> {
      const principal = await findPrincipal(request)
      if (!principal) throw new ApiError('unauthenticated')
      Object.defineProperty(request, 'principal', { value: principal })
    }

    const hasRole = (role: Role) => async (request: FastifyRequest) => {
      if (ROLES.indexOf(request.principal.role) < ROLES.indexOf(role)) throw new ApiError('forbidden')
    }

    const cookieOptions = (request: FastifyRequest) => ({
      path: '/',
      httpOnly: true,
      sameSite: 'strict' as const,
      secure: app.site.isSecure(request),
    })

    /**
     * Deletes cookies that this browser may have under other names: those of earlier versions, and those set
     * without TLS.
     */
    function clearOtherCookies(reply: FastifyReply): void {
      const { request } = reply
      const name = app.site.cookieName(request)
      for (const other of [OLD_COOKIE, name.replace(/^__Host-/, '')]) {
        if (other !== name && request.cookies[other] !== undefined) {
          reply.clearCookie(other, { ...cookieOptions(request), secure: false })
        }
      }
    }

    app.decorateRequest('principal', {
      getter() {
        throw new Error('this route is not guarded by requireRole')
      },
    })
    app.decorateReply('startSession', function (this: FastifyReply, { token_id, expires_at }: Principal) {
      const exp = Math.floor(expires_at.getTime() / 1000)
      const jwt = app.jwt.sign({ jti: token_id, exp })
      const maxAge = exp - Math.floor(Date.now() / 1000)
      clearOtherCookies(this)
      this.setCookie(app.site.cookieName(this.request), jwt, { ...cookieOptions(this.request), maxAge })
      return jwt
    })
    app.decorateReply('endSession', function (this: FastifyReply) {
      clearOtherCookies(this)
      this.clearCookie(app.site.cookieName(this.request), cookieOptions(this.request))
    })
    app.decorate('requireRole', (role: Role) =>
      app.auth([refuseForeignCookieWrite, authenticate, hasRole(role)], { relation: 'and' }),
    )
    app.decorate('requireSameOrigin', requireSameOrigin)
    app.decorate('findPrincipal', findPrincipal)
    app.decorate('sessionOfCookie', sessionOfCookie)
    app.decorate('sessionOf', sessionOf)
    app.decorate('endSession', endSession)
    app.decorate('forgetPrincipals', forgetPrincipals)
  },
  { name: 'auth', dependencies: ['database', 'mode', 'site'] },
)

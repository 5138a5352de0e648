import { createHash } from 'node:crypto'
import fastifyAuth from '@fastify/auth'
import fastifyCookie from '@fastify/cookie'
import fastifyJwt from '@fastify/jwt'
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { ApiError } from '../errors.js'
import { ROLES, type Role } from '../schemas/auth.js'
import { type Principal, findPrincipalByHash, findPrincipalBySession } from '../store/tokens.js'

export const SESSION_COOKIE = 'silo_session'

/** How long a credential once looked up is believed without asking again, in ms: revoking takes this long to hold. */
const PRINCIPAL_TTL_MS = 2000

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** `jti` names the session's row in `tokens`; what the person may do is never in the token. */
    payload: { jti: string; exp: number }
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. Set by `requireRole`; reading it on a route without that throws. */
    principal: Principal
  }
  interface FastifyInstance {
    /** The hook (for `onRequest`) that lets only people with at least this role in. */
    requireRole(role: Role): onRequestAsyncHookHandler
  }
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Whether the browser says that another site's page made this request (Fetch Metadata, and Origin for the rest). */
function isCrossOrigin(request: FastifyRequest): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const { origin } = request.headers
  return origin !== undefined && origin !== `${request.protocol}://${request.host}`
}

const isWrite = (request: FastifyRequest): boolean => !['GET', 'HEAD', 'OPTIONS'].includes(request.method)

/**
 * Signs people in by bearer (a session's JWT or an API token) or by the session's cookie, and guards routes by role.
 */
export default fp(
  async (app) => {
    await app.register(fastifyCookie)
    await app.register(fastifyAuth)
    // The algorithm is pinned: a token may not choose how it is verified.
    await app.register(fastifyJwt, {
      secret: app.config.JWT_SECRET,
      sign: { algorithm: 'HS256' },
      verify: { algorithms: ['HS256'] },
    })

    const principals = new LRUCache<string, Principal>({ max: 10_000, ttl: PRINCIPAL_TTL_MS })

    async function lookUp(key: string, find: () => Promise<Principal | undefined>): Promise<Principal> {
      const known = principals.get(key)
      if (known && known.expires_at.getTime() > Date.now()) return known
      const found = await find()
      if (!found) throw new ApiError('unauthenticated')
      principals.set(key, found)
      return found
    }

    function lookUpSession(jwt: string): Promise<Principal> {
      let jti: string
      try {
        ;({ jti } = app.jwt.verify<{ jti: string }>(jwt))
      } catch {
        throw new ApiError('unauthenticated')
      }
      return lookUp(jti, () => findPrincipalBySession(app.db, jti))
    }

    function lookUpApiToken(secret: string): Promise<Principal> {
      const hash = sha256(secret)
      return lookUp(hash.toString('base64'), () => findPrincipalByHash(app.db, hash))
    }

    app.decorateRequest('principal', {
      getter() {
        throw new Error('this route is not guarded by requireRole')
      },
    })

    /** A bearer decides alone where one is sent; the cookie serves browsers, which send none. */
    async function findPrincipal(request: FastifyRequest): Promise<Principal> {
      const { authorization } = request.headers
      if (authorization !== undefined) {
        const bearer = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
        if (bearer === undefined) throw new ApiError('unauthenticated')
        return bearer.startsWith('silo_') ? lookUpApiToken(bearer) : lookUpSession(bearer)
      }
      const cookie = request.cookies[SESSION_COOKIE]
      if (cookie === undefined) throw new ApiError('unauthenticated')
      if (isWrite(request) && isCrossOrigin(request)) throw new ApiError('cross_origin')
      return lookUpSession(cookie)
    }

    async function authenticate(request: FastifyRequest): Promise<void> {
      Object.defineProperty(request, 'principal', { value: await findPrincipal(request) })
    }

    app.decorate('requireRole', (role: Role) => {
      async function hasRole(request: FastifyRequest): Promise<void> {
        if (ROLES.indexOf(request.principal.role) < ROLES.indexOf(role)) throw new ApiError('forbidden')
      }
      return app.auth([authenticate, hasRole], { relation: 'and' }) as onRequestAsyncHookHandler
    })
  },
  { name: 'auth', dependencies: ['database'] },
)

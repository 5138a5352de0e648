import formbody from '@fastify/formbody'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError, type ErrorCode } from '../errors.js'
import {
  Account,
  CreatedToken,
  Credentials,
  NewToken,
  ROLES,
  SignInForm,
  SignedIn,
  TokenList,
  TokenParams,
  TokenPosition,
  TokenQuery,
} from '../schemas/auth.js'
import { decodeCursor, encodeCursor } from '../schemas/cursor.js'
import { SeeOther } from '../schemas/web.js'
import { newApiToken } from '../store/api-token.js'
import { verifyPassword } from '../store/passwords.js'
import { type Principal, createSession, createToken, listTokens, revokeToken } from '../store/tokens.js'
import { findCredentials } from '../store/users.js'
import { usernameForm } from '../lib/username.js'
import { ownPath } from './own-path.js'

/** The errors that the sign-in page has a text for (web/parts/sign-in.ts). Others are sent as JSON. */
const SHOWN_BY_FORM = new Set<ErrorCode>([
  'invalid_credentials',
  'invalid_request',
  'rate_limited',
  'overloaded',
  'server_read_only',
  'database_unavailable',
])
const WithNext = Type.Object({ next: Type.String() })

/** Size of a page of a hundred tokens, the maximum of a user, with names of 200 characters, in bytes. */
const TOKENS_BYTES = 128 * 1024

const toAccount = (principal: Principal): Account => ({
  id: principal.user_id,
  username: principal.username,
  display_name: principal.display_name,
  role: principal.role,
  auth_source: 'local',
})

/** Routes for sign-in, sign-out, and the API tokens of the authenticated user. */
const auth: FastifyPluginAsyncTypebox = async (app) => {
  /**
   * Verifies a password and creates a session.
   * @throws {ApiError} `invalid_credentials`, the same for an unknown user, a disabled one and a wrong
   * password; `overloaded` while too many passwords wait to be verified; `server_read_only` while the
   * database takes no writes
   */
  async function signIn(
    attempt: FastifyRequest['signInAttempt'],
    { username, password }: Credentials,
  ): Promise<Principal> {
    try {
      await app.requireWritableDatabase()
      const found = await findCredentials(app.accessDb, usernameForm(username))
      const verified = await verifyPassword(password, found?.password_hash, attempt)
      const session = verified && found && (await createSession(app.accessDb, found))
      if (!session) throw new ApiError('invalid_credentials')
      if (attempt.isKnownDevice) attempt.uncount()
      return session
    } catch (error) {
      // No password was verified, because the queue was full or the database failed: the attempt does not
      // count.
      if (!(error instanceof ApiError && error.code === 'invalid_credentials')) attempt.uncount()
      throw error
    }
  }

  /** Ends the session of the cookie that a sign-in replaces: the browser could no longer sign it out. */
  async function endReplaced(request: FastifyRequest): Promise<void> {
    const session = app.sessionOfCookie(request)
    if (session !== undefined) await app.endSession(session)
  }

  app.post(
    '/api/auth/login',
    {
      schema: {
        tags: ['auth'],
        summary: 'Sign in',
        errors: ['invalid_credentials', 'cross_origin', 'rate_limited'],
        security: [],
        body: Credentials,
        response: { 200: SignedIn },
      },
      onRequest: [app.requireSameOrigin, app.limitSignInBodies.onRequest],
      preValidation: app.limitSignInBodies.preValidation,
      preHandler: app.limitSignIn,
    },
    async (request, reply) => {
      const session = await signIn(request.signInAttempt, request.body)
      await endReplaced(request)
      const token = reply.startSession(session)
      reply.rememberDevice(session.username)
      return {
        token,
        token_type: 'Bearer' as const,
        expires_at: session.expires_at,
        user: toAccount(session),
      }
    },
  )

  app.register(async (pages: typeof app) => {
    await pages.register(formbody)

    /** Redirects the browser to the sign-in page with the code of the error, which the page shows as text. */
    function backToForm(error: Error, { body }: FastifyRequest, reply: FastifyReply): void {
      if (!(error instanceof ApiError && SHOWN_BY_FORM.has(error.code))) throw error
      const query = new URLSearchParams({
        error: error.code,
        ...(Value.Check(WithNext, body) && { next: ownPath(body.next) }),
      })
      reply.redirect(`/login?${query.toString()}`, 303)
    }

    pages.post(
      '/login',
      {
        schema: {
          tags: ['auth'],
          summary: 'Sign in with the form of the sign-in page',
          errors: ['cross_origin', 'rate_limited'],
          security: [],
          consumes: ['application/x-www-form-urlencoded'],
          body: SignInForm,
          response: { 303: SeeOther },
        },
        onRequest: [app.requireSameOrigin, app.limitSignInBodies.onRequest],
        preValidation: app.limitSignInBodies.preValidation,
        preHandler: app.limitSignIn,
        errorHandler: backToForm,
      },
      async (request, reply) => {
        const session = await signIn(request.signInAttempt, request.body)
        await endReplaced(request)
        reply.startSession(session)
        reply.rememberDevice(session.username)
        return reply.redirect(ownPath(request.body.next), 303)
      },
    )

    pages.post(
      '/logout',
      {
        config: { withoutDatabase: true },
        schema: {
          tags: ['auth'],
          summary: 'Sign out: ends the session',
          errors: ['cross_origin'],
          security: [],
          response: { 303: SeeOther },
        },
        onRequest: app.requireSameOrigin,
      },
      async (request, reply) => {
        const session = app.sessionOf(request)
        if (session !== undefined) await app.endSession(session)
        reply.endSession()
        return reply.header('clear-site-data', '"cache", "storage"').redirect('/login', 303)
      },
    )
  })

  app.get(
    '/api/auth/me',
    {
      schema: { tags: ['auth'], summary: 'Who is signed in', response: { 200: Account } },
      onRequest: app.requireRole('viewer'),
    },
    async (request) => toAccount(request.principal),
  )

  app.get(
    '/api/auth/tokens',
    {
      config: { responseBytes: TOKENS_BYTES },
      schema: {
        tags: ['auth'],
        summary: 'List your API tokens, newest first; with an API token, itself and those it created',
        querystring: TokenQuery,
        response: { 200: TokenList },
      },
      onRequest: app.requireRole('viewer'),
    },
    async (request) => {
      const { limit, cursor } = request.query
      const position = cursor === undefined ? undefined : decodeCursor(TokenPosition, cursor)
      if (cursor !== undefined && !position) {
        throw ApiError.invalid('cursor', 'is not a cursor of this list')
      }
      const found = await listTokens(app.db, request.principal, { limit: limit + 1, position })
      const tokens = found.slice(0, limit)
      const last = found.length > limit && tokens.at(-1)
      return {
        tokens,
        next_cursor: last ? encodeCursor({ at: last.created_at.getTime(), id: last.id }) : null,
      }
    },
  )

  app.post(
    '/api/auth/tokens',
    {
      schema: {
        tags: ['auth'],
        summary: 'Create an API token; its secret is shown only once',
        errors: ['forbidden', 'too_many_tokens'],
        body: NewToken,
        response: { 201: CreatedToken },
      },
      onRequest: app.requireRole('viewer'),
    },
    async (request, reply) => {
      const { principal } = request
      const { name, expires_in_days, keep, role = principal.role } = request.body
      if (ROLES.indexOf(role) > ROLES.indexOf(principal.role)) {
        throw new ApiError('forbidden', {
          message: `A token can't have a higher role than yours (${principal.role}).`,
        })
      }
      if (keep && principal.kind !== 'session') {
        throw new ApiError('forbidden', {
          message:
            'Only a session that signed in with a password can create a token that outlives it: ' +
            'leave keep out.',
        })
      }
      const { token, hash } = newApiToken()
      const created = await createToken(app.db, principal, { name, role, expires_in_days, keep, hash })
      return reply.code(201).send({ ...created, token })
    },
  )

  app.delete(
    '/api/auth/tokens/:id',
    {
      schema: {
        tags: ['auth'],
        summary: 'Revoke one of your API tokens and those it created',
        errors: ['token_not_found'],
        params: TokenParams,
        response: { 204: Type.Null() },
      },
      onRequest: app.requireRole('viewer'),
    },
    async (request, reply) => {
      const revoked = await revokeToken(app.db, request.principal, request.params.id)
      if (!revoked) throw new ApiError('token_not_found')
      app.forgetPrincipals()
      return reply.code(204).send(null)
    },
  )
}

export default auth

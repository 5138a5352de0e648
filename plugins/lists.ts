import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { onDisconnect } from '../lib/disconnect.js'
import { FairQueue, QueueFull } from '../lib/fair-queue.js'
import { ApiError } from '../errors.js'
import type { Sql } from '../store/driver/connect.js'
import { LIST_SESSIONS } from './database.js'

/** How many lists of one user run at a time. */
const LISTS_PER_USER = 2
/** How many lists of one user may wait. */
const MAX_WAITING_PER_USER = 50
/** How long a list may wait for a connection, in ms. */
const TURN_TIMEOUT_MS = 8000
/** Default timeout of the query of a list, in ms. */
const LIST_TIMEOUT_MS = 5000

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Runs a query whose cost depends on the request, on a database connection of its own. It takes turns
     * with the lists of other users, and is canceled after a timeout and when the client disconnects.
     * @throws {ApiError} `overloaded` when the wait or the query times out, or too many lists of the user
     * wait
     */
    runList<T>(request: FastifyRequest, work: (sql: Sql) => Promise<T>, timeoutMs?: number): Promise<T>
  }
}

/**
 * Decorates `runList`: lists, searches and exports share a few connections, of which one user can hold only
 * some.
 */
export default fp(
  async (app) => {
    const queue = new FairQueue({
      max: LIST_SESSIONS,
      maxPerKey: LISTS_PER_USER,
      maxWaitingPerKey: MAX_WAITING_PER_USER,
    })

    async function run<T>(
      request: FastifyRequest,
      work: (sql: Sql) => Promise<T>,
      timeoutMs: number,
      ending: AbortController,
    ): Promise<T> {
      const abortWith = (message: string) => () => ending.abort(new ApiError('overloaded', { message }))
      const waiting = setTimeout(abortWith('Too many lists are being read. Retry later.'), TURN_TIMEOUT_MS)
      const share = await queue
        .take(request.principal.user_id, 1, ending.signal)
        .finally(() => clearTimeout(waiting))
      const tooLong = `The query took longer than ${timeoutMs / 1000} s. Search for fewer or longer words.`
      const running = setTimeout(abortWith(tooLong), timeoutMs)
      try {
        return await app.listDb.run(ending.signal, work)
      } finally {
        clearTimeout(running)
        share.release()
      }
    }

    app.decorate('runList', async (request, work, timeoutMs = LIST_TIMEOUT_MS) => {
      const ending = new AbortController()
      const forget = onDisconnect(request.raw.socket, () => ending.abort(new ApiError('overloaded')))
      try {
        return await run(request, work, timeoutMs, ending)
      } catch (err) {
        if (!(err instanceof QueueFull)) throw err
        throw new ApiError('overloaded', {
          message: 'Too many of your list requests are waiting. Retry later.',
        })
      } finally {
        forget()
      }
    })
  },
  { name: 'lists', dependencies: ['database', 'auth'] },
)

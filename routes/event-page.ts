import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import type { Start } from '../feed/connection.js'
import { formatCursor } from '../feed/cursor.js'
import type { Feed } from '../feed/feed.js'
import type { Filter } from '../feed/filter.js'
import type { EventQuery } from '../schemas/events.js'
import { readCursor, readFilter } from './event-parameters.js'

/** Bytes of memory for each byte of events in a page: they are held both parsed and serialized. */
const EVENT_FACTOR = 2

/**
 * Reads the page that the client has requested, and waits for its first event for up to `query.wait` s.
 * @throws {ApiError} `unauthenticated` where the credential has expired or been revoked meanwhile
 */
export async function readEventPage(
  app: FastifyInstance,
  request: FastifyRequest,
  query: EventQuery,
  reply: FastifyReply,
) {
  const { feed } = app.sse
  const filter = readFilter(query)
  const waitS = request.method === 'HEAD' ? 0 : query.wait
  const start: Start = await feed.locate(readCursor(request) ?? 'earliest')
  const page =
    query.last !== undefined
      ? await feed.readNewest(filter, query.last)
      : await readAfter(feed, start, filter, query.limit, timeoutOf(reply, waitS))
  if (waitS > 0 && !(await app.findPrincipal(request))) throw new ApiError('unauthenticated')
  const { head } = feed
  if ('reset' in page) {
    const { epoch } = feed.history
    const data = { reason: page.reset, oldest: formatCursor(epoch, feed.oldest), head }
    return { events: [{ id: head, type: 'reset', data }], next: head, head }
  }
  await app.reserveMemory(reply, EVENT_FACTOR * page.bytes)
  return {
    events: page.events.map((event) => ({
      id: formatCursor(page.epoch, event),
      type: event.type,
      data: event.data,
    })),
    next: formatCursor(page.epoch, page.next),
    head,
  }
}

/**
 * Reads the page after `start`. An empty one is read again whenever the log has grown, until it has events,
 * `timeout` is aborted, or the feed ends.
 */
async function readAfter(feed: Feed, start: Start, filter: Filter, limit: number, timeout: AbortSignal) {
  for (;;) {
    if ('reset' in start) return start
    const page = await feed.read(start.position, filter, limit)
    if ('reset' in page || page.events.length > 0 || timeout.aborted || !feed.isOpen) return page
    if (page.next.id >= start.history.ring.head) await feed.grown(timeout).catch(() => undefined)
    start =
      feed.history === start.history
        ? { ...start, position: page.next }
        : await feed.locate(formatCursor(page.epoch, page.next))
  }
}

/**
 * Returns a signal that is aborted after `seconds`, or when the client disconnects. `AbortSignal.any` is not
 * used, because Node 20 garbage-collects the result for a timeout signal before it fires.
 */
function timeoutOf(reply: FastifyReply, seconds: number): AbortSignal {
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), seconds * 1000)
  reply.raw.once('close', () => {
    clearTimeout(timer)
    timeout.abort()
  })
  return timeout.signal
}

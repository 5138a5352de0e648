import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import type { Connection, Start } from '../feed/connection.js'
import { formatCursor } from '../feed/cursor.js'
import { Filter } from '../feed/filter.js'
import { ResponseSink, STREAM_HEADERS } from '../feed/sink.js'
import { preferredType } from '../lib/accept.js'
import { findCursor, isCursorParameter } from '../lib/cursor-parameters.js'
import { escapeSeparators } from '../lib/line-separators.js'
import { networkOf } from '../lib/address.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'
import {
  EVENT_TYPES,
  EventPage,
  EventQuery,
  LastEventId,
  MAX_PATTERNS,
  MAX_WAIT_S,
} from '../schemas/events.js'
import { HeldResponses } from './held-responses.js'
import { Slots } from './slots.js'

/** Maximum time that a client has to read the buffered rest of a stream that ends, in ms. */
const END_GRACE_MS = 2000
/**
 * How long the refusal of a stream is delayed: a random time from this range, in ms. It slows down clients
 * that ignore `retry:` and reconnect at once (docs/decisions/0022).
 */
const HOLD_MS = { full: [3000, 4500], databaseLost: [1000, 2000] } as const
/** Maximum number of refusals that are delayed at a time. Any further refusal is sent at once. */
const MAX_HELD = 1000

/** Bytes of memory for each byte of events in a page: they are held both parsed and serialized. */
const EVENT_FACTOR = 2

/** Splits comma-separated values: `a,b` means the same as a repeated parameter. */
const split = (values: string[] | undefined): string[] | undefined =>
  values?.flatMap((value) => value.split(',')).map((value) => value.trim())

/** @throws {ApiError} `invalid_request` for an unknown type, a malformed part number, or too many of them */
function readFilter(query: EventQuery): Filter {
  const types = split(query.types)
  const unknown = types?.find((type) => !EVENT_TYPES.some((known) => known === type))
  if (unknown !== undefined)
    throw ApiError.invalid('types', `must be one or more of ${EVENT_TYPES.join(', ')}`)
  const partNumbers = split(query.part_number)
  if (partNumbers?.some((pattern) => !/^(?:[a-z0-9][a-z0-9._-]{0,63}\*?|\*)$/i.test(pattern))) {
    throw ApiError.invalid('part_number', 'must be a part number, or a prefix followed by *')
  }
  if ((partNumbers?.length ?? 0) > MAX_PATTERNS)
    throw ApiError.invalid('part_number', `must have at most ${MAX_PATTERNS} entries`)
  return types || partNumbers ? new Filter({ types, partNumbers }) : Filter.everything
}

/**
 * Reads the cursor from which the client resumes (lib/cursor-parameters.ts).
 * @throws {ApiError} `invalid_request` where `Last-Event-ID` is repeated with different values
 */
function readCursor({ raw: { rawHeaders }, url }: FastifyRequest): string | undefined {
  const found = findCursor(rawHeaders, url)
  if ('conflict' in found)
    throw ApiError.invalid(found.conflict, 'is given more than once, with different values')
  return found.cursor
}

/** Parameters that only pages have. They select a page where `Accept` expresses no preference. */
const PAGE_PARAMETERS = ['last', 'limit', 'wait']

function wantsPage({ headers, url }: FastifyRequest): boolean {
  const query = new URLSearchParams(url.slice(url.indexOf('?') + 1))
  const hasPageParameter = url.includes('?') && PAGE_PARAMETERS.some((name) => query.has(name))
  const preferred = preferredType(
    headers.accept,
    hasPageParameter ? ['application/json', 'text/event-stream'] : ['text/event-stream', 'application/json'],
  )
  return preferred === 'application/json'
}

const isClientError = (error: Error): boolean =>
  'statusCode' in error && typeof error.statusCode === 'number' && error.statusCode < 500

/**
 * Calls `act` once, when the response or its socket closes. The socket is needed for pipelined requests: a
 * response has no socket until those before it are written, so it emits no `close` if the client disconnects
 * before that.
 */
function whenOver(
  { raw: { socket } }: FastifyRequest,
  { raw: response }: FastifyReply,
  act: () => void,
): void {
  const over = () => {
    response.off('close', over)
    socket.off('close', over)
    act()
  }
  response.once('close', over)
  socket.once('close', over)
}

const randomBetween = (least: number, most: number) => Math.round(least + Math.random() * (most - least))

/** `GET /api/events`: the live feed as a stream, or pages of the same log for clients that prefer JSON. */
const events: FastifyPluginAsyncTypebox = async (app) => {
  const { feed } = app.sse
  const everybody = new Slots(app.config.SSE_MAX_CLIENTS)
  const perAddress = new Slots(app.config.SSE_MAX_CLIENTS_PER_ADDRESS)
  const perUser = new Slots(app.config.SSE_MAX_CLIENTS_PER_USER)
  const endGraceMs = Math.min(END_GRACE_MS, (app.config.SHUTDOWN_TIMEOUT_MS - app.config.DRAIN_DELAY_MS) / 4)
  const timeouts = { endGraceMs, stallMs: STALL_TIMEOUT_MS }

  const held = new HeldResponses(MAX_HELD)
  app.mode.onChange((mode) => mode === 'draining' && held.releaseAll())

  /** Functions that release the slots of a request. */
  const taken = new WeakMap<FastifyRequest, (() => void)[]>()

  /**
   * Refuses a stream with status 200, because a browser's `EventSource` never reconnects after any other
   * status. `retry:` shares its block with an event, because many clients ignore a block without one
   * (docs/decisions/0022).
   */
  function turnAway(reply: FastifyReply, retryMs: number, type: string, data: object): FastifyReply {
    return reply
      .code(200)
      .headers({ 'cache-control': 'no-store, no-transform', connection: 'close' })
      .type('text/event-stream; charset=utf-8')
      .send(`retry: ${retryMs}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /**
   * Delays the refusal of a stream, at most until its client disconnects. The request holds no slot
   * meanwhile.
   */
  async function holdBack(
    request: FastifyRequest,
    reply: FastifyReply,
    [least, most]: readonly [number, number],
  ): Promise<void> {
    giveBack(request)
    if (request.method === 'HEAD' || app.mode.current === 'draining') return
    await held.hold(randomBetween(least, most), (release) => whenOver(request, reply, release))
  }

  /** Refuses a stream for a temporary reason: the database can't be reached, or this instance shuts down. */
  async function askBackSoon(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (app.mode.databaseLost) await holdBack(request, reply, HOLD_MS.databaseLost)
    return turnAway(reply, randomBetween(2000, 5000), 'server.state', { mode: app.mode.current })
  }

  /**
   * Refuses a request for which there is no free slot. A stream gets the time after which to reconnect as
   * `retry:`.
   * @throws {ApiError} `overloaded` for a page
   */
  async function refuse(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const retryMs = randomBetween(20_000, 60_000)
    if (wantsPage(request)) {
      throw new ApiError('overloaded', { headers: { 'retry-after': String(Math.round(retryMs / 1000)) } })
    }
    await holdBack(request, reply, HOLD_MS.full)
    return turnAway(reply, retryMs, 'heartbeat', {})
  }

  async function admit(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    reply.header('vary', 'Accept')
    if (wantsPage(request)) {
      if (app.mode.databaseLost) throw new ApiError('database_unavailable')
    } else if (app.mode.databaseLost || !feed.isOpen) return askBackSoon(request, reply)
    return takeSlots(request, reply, [
      [everybody, 'everybody'],
      [perAddress, networkOf(request.ip, 64)],
    ])
  }

  async function admitUser(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    return takeSlots(request, reply, [[perUser, request.principal.user_id]])
  }

  /**
   * Takes a slot of each kind, and holds them until the response or its socket closes. Refuses the request
   * where one is not free. Slots are taken synchronously, before the first `await`, so that concurrent
   * requests can't exceed a limit.
   */
  function takeSlots(
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: [Slots, string][],
  ): Promise<FastifyReply> | undefined {
    for (const [slots, key] of wanted) {
      const leave = slots.take(key)
      if (!leave) return refuse(request, reply)
      const leaves = taken.get(request)
      if (leaves) leaves.push(leave)
      else {
        taken.set(request, [leave])
        whenOver(request, reply, () => giveBack(request))
      }
    }
    // A HEAD gets the response of the GET without opening a stream, so it needs no slot.
    if (request.method === 'HEAD') giveBack(request)
    return undefined
  }

  function giveBack(request: FastifyRequest): void {
    for (const leave of taken.get(request)?.splice(0) ?? []) leave()
  }

  /** Responds to a HEAD with the headers that `stream` sends. */
  function headOfStream(request: FastifyRequest, query: EventQuery, reply: FastifyReply): FastifyReply {
    readFilter(query)
    readCursor(request)
    return reply.headers(STREAM_HEADERS).send(Readable.from([]))
  }

  async function stream(request: FastifyRequest, query: EventQuery, reply: FastifyReply): Promise<void> {
    const filter = readFilter(query)
    const start = await feed.locate(readCursor(request))
    reply.hijack()
    // A stream is written to the socket, so its response never emits `finish`. Fastify's listeners for it
    // would keep the request and the reply in memory for as long as the stream is open.
    reply.raw.removeAllListeners('finish').removeAllListeners('error')
    const { token_id, role, expires_at } = request.principal
    const { id: reqId } = request
    const sink = await ResponseSink.open(reply.raw, reply.getHeaders(), timeouts)
    const connection: Connection = feed.open(
      { sink, filter, start, owner: { tokenId: token_id, role, expiresAt: expires_at } },
      (reason) => app.log.debug({ reqId, reason }, 'stream ended'),
    )
    sink.watch(reply.raw, {
      drained: () => connection.pump(),
      closed: (stalled) => feed.close(connection, stalled ? 'stalled' : 'client-gone'),
    })
  }

  /**
   * Reads a page. An empty one is read again whenever the log has grown, until it has events, `timeout` is
   * aborted, or the feed ends.
   */
  async function readPage(query: EventQuery, start: Start, filter: Filter, timeout: AbortSignal) {
    for (;;) {
      if ('reset' in start) return start
      const page = await feed.read(start.position, filter, query.limit)
      if ('reset' in page || page.events.length > 0 || timeout.aborted || !feed.isOpen) return page
      if (page.next.id >= start.history.ring.head) await feed.grown(timeout).catch(() => undefined)
      start =
        feed.history === start.history
          ? { ...start, position: page.next }
          : await feed.locate(formatCursor(page.epoch, page.next))
    }
  }

  /**
   * Returns a signal that is aborted after `seconds`, or when the client disconnects. It is no
   * `AbortSignal.any`, because Node 20 garbage-collects one of a timeout before it fires.
   */
  function timeoutOf(reply: FastifyReply, seconds: number): AbortSignal {
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), seconds * 1000)
    reply.raw.once('close', () => {
      clearTimeout(timer)
      over.abort()
    })
    return over.signal
  }

  async function page(request: FastifyRequest, query: EventQuery, reply: FastifyReply) {
    const filter = readFilter(query)
    const waitS = request.method === 'HEAD' ? 0 : query.wait
    const start: Start = await feed.locate(readCursor(request) ?? 'earliest')
    const found =
      query.last !== undefined
        ? await feed.readNewest(filter, query.last)
        : await readPage(query, start, filter, timeoutOf(reply, waitS))
    // Access is checked again after a long poll: the credential may have expired or been revoked meanwhile.
    if (waitS > 0 && !(await app.findPrincipal(request))) throw new ApiError('unauthenticated')
    const { head } = feed
    if ('reset' in found) {
      const { epoch } = feed.history
      const data = { reason: found.reset, oldest: formatCursor(epoch, feed.oldest), head }
      return { events: [{ id: head, type: 'reset', data }], next: head, head }
    }
    await app.reserveMemory(reply, EVENT_FACTOR * found.bytes)
    return {
      events: found.events.map((event) => ({
        id: formatCursor(found.epoch, event),
        type: event.type,
        data: event.data,
      })),
      next: formatCursor(found.epoch, found.next),
      head,
    }
  }

  app.get(
    '/api/events',
    {
      // A page reserves its memory once its events are read: a long poll that waits needs none.
      config: { withoutDatabase: true, timeoutMs: 1000 * (MAX_WAIT_S + 15), responseBytes: 0 },
      onRequest: [admit, app.requireRole('viewer'), admitUser],
      // The database can fail while the client is authenticated or its cursor is located, before the mode
      // shows that.
      errorHandler: (error, request, reply) => {
        if (wantsPage(request) || isClientError(error)) throw error
        request.log.warn({ err: error }, 'failed to open a stream')
        void askBackSoon(request, reply)
      },
      // The events are JSON from the log. Fastify's serializer would match each of them against the schema of
      // each type of event.
      serializerCompiler: () => (page) => escapeSeparators(JSON.stringify(page)),
      // `readCursor` reads the cursor from the raw request, in any spelling. The schema must not reject a
      // repeated parameter.
      preValidation: async ({ query }) => {
        for (const name of Object.keys(query))
          if (isCursorParameter(name)) Reflect.deleteProperty(query, name)
      },
      schema: {
        tags: ['feed'],
        summary: 'Every change, live (text/event-stream) or in pages (application/json)',
        errors: ['database_unavailable', 'overloaded'],
        querystring: EventQuery,
        headers: LastEventId,
        response: {
          200: {
            description:
              'The live stream (WHATWG HTML, section 9.2), or a page for clients that prefer JSON.',
            content: {
              'text/event-stream': { schema: Type.String() },
              'application/json': { schema: EventPage },
            },
          },
        },
      },
    },
    async (request, reply) => {
      if (wantsPage(request)) return page(request, request.query, reply)
      if (request.method === 'HEAD') return headOfStream(request, request.query, reply)
      await stream(request, request.query, reply)
    },
  )
}

export default events

import fastifyAccepts from '@fastify/accepts'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import type { Connection, Start } from '../feed/connection.js'
import { formatCursor } from '../feed/cursor.js'
import { Filter } from '../feed/filter.js'
import { decodeData } from '../feed/frame.js'
import { ResponseSink } from '../feed/sink.js'
import { networkOf } from '../lib/address.js'
import {
  EVENT_TYPES,
  EventPage,
  EventQuery,
  LastEventId,
  MAX_PATTERNS,
  MAX_WAIT_S,
} from '../schemas/events.js'
import { Slots } from './slots.js'

/** How long a stream may take to read what is left when it ends, at most, in ms. */
const END_GRACE_MS = 2000
/** A stream that makes no progress at all for this long is cut, in ms. */
const STALL_MS = 60_000

const invalid = (field: string, message: string) =>
  new ApiError('invalid_request', { details: [{ field, message }] })

/** `a,b` and a repeated parameter say the same. */
const split = (values: string[] | undefined): string[] | undefined =>
  values?.flatMap((value) => value.split(',')).map((value) => value.trim())

function readFilter(query: EventQuery): Filter {
  const types = split(query.types)
  const unknown = types?.find((type) => !EVENT_TYPES.some((known) => known === type))
  if (unknown !== undefined) throw invalid('types', `knows ${EVENT_TYPES.join(', ')}`)
  const partNumbers = split(query.part_number)
  if (partNumbers?.some((pattern) => !/^(?:[a-z0-9][a-z0-9._-]{0,63}\*?|\*)$/i.test(pattern))) {
    throw invalid('part_number', 'must be a part number, or its beginning and a *')
  }
  if ((partNumbers?.length ?? 0) > MAX_PATTERNS) throw invalid('part_number', `takes at most ${MAX_PATTERNS}`)
  return types || partNumbers ? new Filter({ types, partNumbers }) : Filter.everything
}

/** Where the client left off. The header is the one a browser keeps current itself, so it wins. */
function readCursor(
  request: FastifyRequest,
  { since, lastEventId, last_event_id }: EventQuery,
): string | undefined {
  const header = request.headers['last-event-id']
  return [header].flat()[0] || since || lastEventId || last_event_id || undefined
}

const isTheirFault = (error: Error): boolean =>
  'statusCode' in error && typeof error.statusCode === 'number' && error.statusCode < 500

/**
 * Calls `act` once, when the answer or its connection is over. The answer to a pipelined request has no socket until those
 * before it are written: when the client goes before that, nothing tells it.
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

/** `GET /api/events`: the live feed, or pages of the same log for those who ask for JSON. */
const events: FastifyPluginAsyncTypebox = async (app) => {
  await app.register(fastifyAccepts)
  const { feed } = app.sse
  const everybody = new Slots(app.config.SSE_MAX_CLIENTS)
  const perAddress = new Slots(app.config.SSE_MAX_CLIENTS_PER_ADDRESS)
  const perUser = new Slots(app.config.SSE_MAX_CLIENTS_PER_USER)
  const endGraceMs = Math.min(END_GRACE_MS, (app.config.SHUTDOWN_TIMEOUT_MS - app.config.DRAIN_DELAY_MS) / 4)
  const patience = { endGraceMs, stallMs: STALL_MS }

  const wantsJson = (request: FastifyRequest): boolean =>
    request.accepts().type(['text/event-stream', 'application/json']) === 'application/json'

  /** Any status but 200 would stop a browser's EventSource for good: a stream we can't serve now is told to come back. */
  function turnAway(reply: FastifyReply, retryMs: number, text = ''): FastifyReply {
    return reply
      .code(200)
      .headers({ 'cache-control': 'no-store, no-transform', connection: 'close' })
      .type('text/event-stream; charset=utf-8')
      .send(`retry: ${retryMs}\n${text}\n`)
  }

  /** For what is over in a moment: the database is away, or this instance ends. */
  function askBackSoon(reply: FastifyReply): FastifyReply {
    const state = `event: server.state\ndata: ${JSON.stringify({ mode: app.mode.current })}\n`
    return turnAway(reply, randomBetween(2000, 5000), state)
  }

  /** Where there is no place for this request: a stream comes back later, others get the error. */
  function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const retryMs = randomBetween(20_000, 60_000)
    if (!wantsJson(request)) return turnAway(reply, retryMs)
    throw new ApiError('overloaded', { headers: { 'retry-after': String(Math.round(retryMs / 1000)) } })
  }

  async function admit(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    if (wantsJson(request)) {
      if (app.mode.databaseLost) throw new ApiError('database_unavailable')
    } else if (app.mode.databaseLost || !feed.isOpen) return askBackSoon(reply)
    return takePlaces(request, reply, [
      [everybody, 'everybody'],
      [perAddress, networkOf(request.ip, 64)],
    ])
  }

  async function admitUser(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    return takePlaces(request, reply, [[perUser, request.principal.user_id]])
  }

  /** Places are taken before anything is waited for, and kept until the connection is closed: a rush can't outrun them. */
  function takePlaces(
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: [Slots, string][],
  ): FastifyReply | undefined {
    for (const [slots, key] of wanted) {
      const leave = slots.take(key)
      if (!leave) return refuse(request, reply)
      whenOver(request, reply, leave)
    }
    return undefined
  }

  async function stream(request: FastifyRequest, query: EventQuery, reply: FastifyReply): Promise<void> {
    const filter = readFilter(query)
    const start = await feed.locate(readCursor(request, query))
    reply.hijack()
    // Fastify waits for the end that a stream's response never has, and would keep request and reply in memory till then.
    reply.raw.removeAllListeners('finish').removeAllListeners('error')
    const { token_id, role, expires_at } = request.principal
    const { id: reqId } = request
    const sink = await ResponseSink.open(reply.raw, reply.getHeaders(), patience)
    const connection: Connection = feed.open(
      { sink, filter, start, owner: { tokenId: token_id, role, expiresAt: expires_at } },
      (reason) => app.log.debug({ reqId, reason }, 'stream ended'),
    )
    sink.watch(reply.raw, {
      drained: () => connection.pump(),
      closed: (stalled) => feed.close(connection, stalled ? 'stalled' : 'client-gone'),
    })
  }

  /** Holds an empty page until something comes, the time is over, or the client is gone. */
  async function readPage(query: EventQuery, start: Start, filter: Filter, patience: AbortSignal) {
    for (;;) {
      if ('reset' in start) return start
      const page = await feed.read(start.position, filter, query.limit)
      if ('reset' in page || page.entries.length > 0 || patience.aborted || !feed.isOpen) return page
      if (page.next.id >= start.history.ring.head) await feed.grown(patience).catch(() => undefined)
      start =
        feed.history === start.history
          ? { ...start, position: page.next }
          : await feed.locate(formatCursor(page.epoch, page.next))
    }
  }

  /** Over when the time is, or the client is gone. Node 20 collects an `AbortSignal.any` of a timeout as garbage, unfired. */
  function patienceOf(reply: FastifyReply, seconds: number): AbortSignal {
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
    const start: Start = await feed.locate(readCursor(request, query) ?? 'earliest')
    const found =
      query.last !== undefined
        ? await feed.readNewest(filter, query.last)
        : await readPage(query, start, filter, patienceOf(reply, query.wait))
    // What was held back is for those who may read when it comes, not only when they asked.
    if (query.wait > 0 && !(await app.findPrincipal(request))) throw new ApiError('unauthenticated')
    const { head } = feed
    if ('reset' in found) {
      const { epoch } = feed.history
      const data = { reason: found.reset, oldest: formatCursor(epoch, feed.oldest), head }
      return { events: [{ id: head, type: 'reset', data }], next: head, head }
    }
    return {
      events: found.entries.map((entry) => ({
        id: formatCursor(found.epoch, entry),
        type: entry.type,
        data: decodeData(entry),
      })),
      next: formatCursor(found.epoch, found.next),
      head,
    }
  }

  app.get(
    '/api/events',
    {
      config: { withoutDatabase: true, timeoutMs: 1000 * (MAX_WAIT_S + 15) },
      exposeHeadRoute: false,
      onRequest: [admit, app.requireRole('viewer'), admitUser],
      // The database can go while the client is signed in or its cursor looked up, before anybody knows.
      errorHandler: (error, request, reply) => {
        if (wantsJson(request) || isTheirFault(error)) throw error
        request.log.warn({ err: error }, 'a stream could not be opened')
        void askBackSoon(reply)
      },
      // What a page holds is JSON from the log: matching each event with each kind of event again would tell nothing new.
      serializerCompiler: () => (page) => JSON.stringify(page),
      schema: {
        tags: ['feed'],
        summary: 'Every change, live (text/event-stream) or in pages (application/json)',
        errors: ['database_unavailable', 'overloaded'],
        querystring: EventQuery,
        headers: LastEventId,
        response: {
          200: {
            description: 'The live stream (WHATWG HTML, section 9.2); for those who prefer JSON, a page.',
            content: {
              'text/event-stream': { schema: Type.String() },
              'application/json': { schema: EventPage },
            },
          },
        },
      },
    },
    async (request, reply) => {
      if (wantsJson(request)) return page(request, request.query, reply)
      await stream(request, request.query, reply)
    },
  )
}

export default events

import { once } from 'node:events'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppConfig } from '../config.js'
import type { Connection, Start } from '../feed/connection.js'
import type { Filter } from '../feed/filter.js'
import { ResponseSink, type SinkTimeouts } from '../feed/sink.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'

/**
 * Headers of every response that is an event stream, refusals included. Compression would delay events. The
 * connection is closed with the stream, so that a shutdown does not wait for the client to close it.
 */
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  connection: 'close',
}
/** Headers of an open stream: a proxy's buffer would delay events. */
const OPEN_HEADERS = { ...HEADERS, 'x-accel-buffering': 'no' }

const CHUNKED = { 'transfer-encoding': 'chunked' }

/** Maximum time that a client has to read the buffered rest of a stream that ends, in ms. */
const END_GRACE_MS = 2000

/** Returns the timeouts of the sockets of streams. */
export const streamTimeouts = ({ SHUTDOWN_TIMEOUT_MS, DRAIN_DELAY_MS }: AppConfig): SinkTimeouts => ({
  endGraceMs: Math.min(END_GRACE_MS, (SHUTDOWN_TIMEOUT_MS - DRAIN_DELAY_MS) / 4),
  stallMs: STALL_TIMEOUT_MS,
})

/** Responds to a HEAD with the headers of an open stream. */
export function sendStreamHead(reply: FastifyReply): FastifyReply {
  return reply.headers(OPEN_HEADERS).send(Readable.from([]))
}

/**
 * Refuses a stream with status 200, because a browser's `EventSource` never reconnects after any other
 * status. `retry:` shares its block with an event, because many clients ignore a block without one
 * (docs/decisions/0022).
 * @param retryMs how long the client should wait before it reconnects
 */
export function sendStreamRefusal(
  reply: FastifyReply,
  retryMs: number,
  type: 'heartbeat' | 'server.state',
  data: object,
): FastifyReply {
  return reply
    .code(200)
    .headers(HEADERS)
    .send(`retry: ${retryMs}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
}

/** Sends the head of the response, and opens the stream in the feed until its socket closes. */
export async function openStream(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  { filter, start, timeouts }: { filter: Filter; start: Start; timeouts: SinkTimeouts },
): Promise<void> {
  const { feed } = app.sse
  const { token_id, role, expires_at } = request.principal
  const { id: reqId } = request
  const sink = await takeSocket(reply, timeouts)
  const connection: Connection = feed.open(
    { sink, filter, start, owner: { tokenId: token_id, role, expiresAt: expires_at } },
    (reason) => app.log.debug({ reqId, reason }, 'stream ended'),
  )
  sink.watch(reply.raw, {
    onDrain: () => connection.pump(),
    onClose: (stalled) => feed.close(connection, stalled ? 'stalled' : 'client-gone'),
  })
}

/**
 * Takes the socket over from the response and sends the head. The head bypasses the response, which would
 * keep what it has sent in memory for as long as the stream is open (docs/decisions/0005).
 * @throws {TypeError} for an invalid header
 */
async function takeSocket(reply: FastifyReply, timeouts: SinkTimeouts): Promise<ResponseSink> {
  const { raw: response } = reply
  reply.hijack()
  // A stream is written to the socket, so its response never emits `finish`. Fastify's listeners for it would
  // keep the request and the reply in memory.
  response.removeAllListeners('finish').removeAllListeners('error')
  // The response to a pipelined request has no socket until the responses before it are written.
  if (!response.socket) await once(response, 'socket')
  const { socket } = response
  if (!socket) throw new Error('the response has no socket')
  // The timeout of a request does not apply to a stream.
  socket.setTimeout(0)
  const isChunked = response.req.httpVersion !== '1.0'
  socket.write(encodeHead({ ...reply.getHeaders(), ...OPEN_HEADERS, ...(isChunked && CHUNKED) }))
  // The response would keep these headers in memory, too.
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  return new ResponseSink(socket, isChunked, timeouts)
}

/**
 * Encodes the head of the response.
 * @throws {TypeError} for an invalid header name or value, such as a value of two lines
 */
function encodeHead(headers: Record<string, number | string | string[] | undefined>): string {
  const lines = ['HTTP/1.1 200 OK', `date: ${new Date().toUTCString()}`]
  for (const [name, values] of Object.entries(headers)) {
    if (values === undefined) continue
    validateHeaderName(name)
    for (const value of [values].flat()) {
      validateHeaderValue(name, String(value))
      lines.push(`${name}: ${value}`)
    }
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import { networkOf } from '../lib/address.js'
import { DelayedResponses } from './delayed-responses.js'
import { prefersPage } from './event-parameters.js'
import { sendStreamRefusal } from './event-stream.js'
import { Slots } from './slots.js'

/**
 * How long the refusal of a stream is delayed: a random time from this range, in ms. It slows down clients
 * that ignore `retry:` and reconnect at once (docs/decisions/0022).
 */
const DELAY_MS = { full: [3000, 4500], databaseLost: [1000, 2000] } as const
/** When a client of a refused stream should reconnect: after a random time from this range, in ms. */
const RETRY_MS = { full: [20_000, 60_000], unavailable: [2000, 5000] } as const
/** Maximum number of refusals that are delayed at a time. Any further refusal is sent at once. */
const MAX_DELAYED = 1000

const randomOf = ([min, max]: readonly [number, number]) => Math.round(min + Math.random() * (max - min))

/**
 * Calls `act` once, when the response or its socket closes. The socket is needed for pipelined requests: a
 * response has no socket until those before it are written, so it emits no `close` if the client disconnects
 * before that.
 */
function onClosed(
  { raw: { socket } }: FastifyRequest,
  { raw: response }: FastifyReply,
  act: () => void,
): void {
  const closed = () => {
    response.off('close', closed)
    socket.off('close', closed)
    act()
  }
  response.once('close', closed)
  socket.once('close', closed)
}

/**
 * Admits requests for the event log: limits the streams and pages that are open at a time, on this instance,
 * per address and per user, and refuses the others.
 */
export class EventAdmission {
  readonly #app: FastifyInstance
  readonly #perInstance: Slots
  readonly #perAddress: Slots
  readonly #perUser: Slots
  readonly #delayed = new DelayedResponses(MAX_DELAYED)
  /** Functions that release the slots of a request. */
  readonly #releases = new WeakMap<FastifyRequest, (() => void)[]>()

  constructor(app: FastifyInstance) {
    this.#app = app
    this.#perInstance = new Slots(app.config.SSE_MAX_CLIENTS)
    this.#perAddress = new Slots(app.config.SSE_MAX_CLIENTS_PER_ADDRESS)
    this.#perUser = new Slots(app.config.SSE_MAX_CLIENTS_PER_USER)
    app.mode.onChange((mode) => mode === 'draining' && this.#delayed.releaseAll())
  }

  /**
   * Admits a request whose client is not authenticated yet.
   * @returns the reply where the stream was refused
   * @throws {ApiError} `database_unavailable` or `overloaded` for a page
   */
  async admit(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const { mode, sse } = this.#app
    if (prefersPage(request)) {
      if (mode.databaseLost) throw new ApiError('database_unavailable')
    } else if (mode.databaseLost || !sse.feed.isOpen) return this.refuseUnavailable(request, reply)
    return this.#takeSlots(request, reply, [
      [this.#perInstance, 'all'],
      [this.#perAddress, networkOf(request.ip, 64)],
    ])
  }

  /** Admits a request of an authenticated user, as `admit` does. */
  async admitUser(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    return this.#takeSlots(request, reply, [[this.#perUser, request.principal.user_id]])
  }

  /** Refuses a stream for a temporary reason: the database can't be reached, or this instance shuts down. */
  async refuseUnavailable(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { mode } = this.#app
    if (mode.databaseLost) await this.#delay(request, reply, DELAY_MS.databaseLost)
    return sendStreamRefusal(reply, randomOf(RETRY_MS.unavailable), 'server.state', { mode: mode.current })
  }

  /**
   * Refuses a request for which there is no free slot.
   * @throws {ApiError} `overloaded` for a page
   */
  async #refuseFull(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const retryMs = randomOf(RETRY_MS.full)
    if (prefersPage(request)) {
      throw new ApiError('overloaded', { headers: { 'retry-after': String(Math.round(retryMs / 1000)) } })
    }
    await this.#delay(request, reply, DELAY_MS.full)
    return sendStreamRefusal(reply, retryMs, 'heartbeat', {})
  }

  /**
   * Delays the refusal of a stream, at most until its client disconnects. The request holds no slot
   * meanwhile.
   */
  async #delay(
    request: FastifyRequest,
    reply: FastifyReply,
    rangeMs: readonly [number, number],
  ): Promise<void> {
    this.#releaseSlots(request)
    if (request.method === 'HEAD' || this.#app.mode.current === 'draining') return
    await this.#delayed.delay(randomOf(rangeMs), (release) => onClosed(request, reply, release))
  }

  /**
   * Takes a slot of each kind, and holds them until the response or its socket closes. Refuses the request
   * where one is not free. Slots are taken synchronously, before the first `await`, so that concurrent
   * requests can't exceed a limit.
   */
  #takeSlots(
    request: FastifyRequest,
    reply: FastifyReply,
    wanted: [Slots, string][],
  ): Promise<FastifyReply> | undefined {
    for (const [slots, key] of wanted) {
      const release = slots.take(key)
      if (!release) return this.#refuseFull(request, reply)
      const releases = this.#releases.get(request)
      if (releases) releases.push(release)
      else {
        this.#releases.set(request, [release])
        onClosed(request, reply, () => this.#releaseSlots(request))
      }
    }
    // A HEAD gets the response of the GET without opening a stream, so it needs no slot.
    if (request.method === 'HEAD') this.#releaseSlots(request)
    return undefined
  }

  #releaseSlots(request: FastifyRequest): void {
    for (const release of this.#releases.get(request)?.splice(0) ?? []) release()
  }
}

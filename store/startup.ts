import type { Socket } from 'node:net'
import type { AuthMethod } from '../lib/database-url.js'
import { ConnectionError } from './driver/socket.js'

const TYPE = { authentication: 0x52, error: 0x45, parameterStatus: 0x53, ready: 0x5a }
/** A message begins with its type, one byte, and its length, four bytes that count themselves. */
const HEADER_BYTES = 5

/** Authentication methods by the codes of the server's authentication requests. */
const METHODS: Record<number, AuthMethod> = { 3: 'password', 5: 'md5', 10: 'scram-sha-256' }
const AUTHENTICATED = 0
const SCRAM_CHALLENGE = 11
const SCRAM_FINAL = 12
/**
 * Max iterations of a SCRAM challenge: the driver computes them without yielding to the event loop.
 * PostgreSQL's default is 4096.
 */
const MAX_SCRAM_ITERATIONS = 100_000

/** Whether a SCRAM challenge is well formed (RFC 5802, section 5.1) and within `MAX_SCRAM_ITERATIONS`. */
function isSoundChallenge(text: string): boolean {
  const [, iterations] = /^r=[!-+\--~]+,s=[A-Za-z0-9+/]+={0,2},i=([1-9]\d{0,8})$/.exec(text) ?? []
  return iterations !== undefined && Number(iterations) <= MAX_SCRAM_ITERATIONS
}

/** Thrown when the server's authentication is not accepted. */
export class AuthMethodRefused extends Error {
  override readonly name = 'AuthMethodRefused'
  readonly code = 'AUTH_METHOD_REFUSED'
}

function queryMessage(text: string): Buffer {
  const body = Buffer.from(`${text}\0`)
  const message = Buffer.alloc(HEADER_BYTES + body.length)
  message.write('Q')
  message.writeInt32BE(4 + body.length, 1)
  body.copy(message, HEADER_BYTES)
  return message
}

/** The code of a CancelRequest, in the position of a startup message's protocol version. */
const CANCEL_REQUEST = 80877102

/**
 * The last parameter of the driver's startup message. The driver sends a message of 1,024 bytes or more at
 * once, and a shorter one in the next immediate. If the previous socket closed before such an immediate, the
 * driver waits for it for ever, and would never write again (docs/upstream/postgres-js-cleared-write.md).
 * `superviseStartup` removes the parameter.
 */
export const PADDING = { padding: 'x'.repeat(1024) }

const isCancelRequest = (bytes: Buffer): boolean =>
  bytes.length === 16 && bytes.readInt32BE(4) === CANCEL_REQUEST

/**
 * Returns the startup message from the first bytes that the driver writes to a socket, without `PADDING`.
 * Messages before it were for the previous socket.
 */
function startupMessage(bytes: Buffer): Buffer {
  let start = 0
  // Every message but this one begins with its type, a letter.
  while (bytes[start] !== 0) start += 1 + bytes.readInt32BE(start + 1)
  const end = bytes.indexOf(`\0padding\0`, start) + 1
  const message = Buffer.alloc(end - start + 1)
  bytes.copy(message, 0, start, end)
  message.writeInt32BE(message.length)
  return message
}

/** Splits received bytes into complete messages. */
class Messages {
  #arrived: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): void {
    this.#arrived = Buffer.concat([this.#arrived, bytes])
  }

  /** Removes and returns the next message; undefined while it is incomplete. */
  next(): Buffer | undefined {
    if (this.#arrived.length < HEADER_BYTES) return undefined
    const length = 1 + this.#arrived.readInt32BE(1)
    if (this.#arrived.length < length) return undefined
    const message = this.#arrived.subarray(0, length)
    this.#arrived = this.#arrived.subarray(length)
    return message
  }

  /** The bytes that have not been returned as a message. */
  get rest(): Buffer {
    return this.#arrived
  }
}

/** Checks the authentication requests of the server against the accepted methods. */
class AuthenticationCheck {
  #method: AuthMethod = 'none'
  #isServerKnown = false

  constructor(readonly accepted: readonly AuthMethod[] | undefined) {}

  /** @throws {AuthMethodRefused} */
  check(message: Buffer): void {
    const request = message.readInt32BE(HEADER_BYTES)
    if (request === SCRAM_CHALLENGE && !isSoundChallenge(message.toString('latin1', HEADER_BYTES + 4))) {
      throw new AuthMethodRefused('the server sent an invalid SCRAM challenge')
    }
    if (!this.accepted) return
    const method = METHODS[request]
    if (method !== undefined) this.#method = method
    if (request === SCRAM_FINAL) this.#isServerKnown = true
    if (method === undefined && request !== AUTHENTICATED) return
    if (!this.accepted.includes(this.#method)) {
      throw new AuthMethodRefused(`the server requests "${this.#method}", which require_auth does not accept`)
    }
    // A server that claims to use SCRAM must prove that it knows the password, too.
    if (request === AUTHENTICATED && this.#method === 'scram-sha-256' && !this.#isServerKnown) {
      throw new AuthMethodRefused('the server failed to prove that it knows the password')
    }
  }
}

/**
 * Sets up a connection before the driver sends a query. It runs `setUp` when the server reports
 * ReadyForQuery, and passes that message to the driver only afterwards. So no query runs without the
 * settings, even after a reconnect. Parameters of the startup message would do the same, but poolers refuse
 * those that they don't know (docs/decisions/0025). An error of `setUp` is an error of the connection.
 *
 * A server that closes the connection before it is ready is an error, except as the response to a cancel
 * request. Otherwise the driver would connect again without a delay and without an end, and its query would
 * never settle.
 *
 * Also emits `close` directly after `error`. Node emits it later, and in between the driver considers the
 * connection usable: a query sent then never settles, or it resolves with the empty result of the next
 * startup. Further errors are dropped: the driver has removed its listeners, and an unhandled `error` event
 * would end the process.
 */
export function superviseStartup(
  socket: Socket,
  setUp: string,
  acceptedMethods: readonly AuthMethod[] | undefined,
): void {
  const emit = socket.emit.bind(socket)
  const write = socket.write.bind(socket)
  const messages = new Messages()
  const authentication = new AuthenticationCheck(acceptedMethods)
  let phase: 'startup' | 'set-up' | 'ready' | 'cancel' = 'startup'
  let hasFailed = false

  /** Handles a message of the startup or of `setUp`. Returns it if the driver should receive it. */
  function passed(message: Buffer): Buffer | undefined {
    const type = message[0]
    if (phase === 'startup') {
      if (type === TYPE.authentication) authentication.check(message)
      if (type !== TYPE.ready) return message
      phase = 'set-up'
      socket.write(queryMessage(setUp))
      return undefined
    }
    if (type === TYPE.ready) phase = 'ready'
    return type === TYPE.ready || type === TYPE.parameterStatus || type === TYPE.error ? message : undefined
  }

  function receive(bytes: Buffer): void {
    messages.add(bytes)
    for (;;) {
      const message = phase === 'ready' ? messages.rest : messages.next()
      if (!message || message.length === 0) return
      const failed = phase === 'set-up' && message[0] === TYPE.error
      const isRest = phase === 'ready'
      const toDriver = isRest ? message : passed(message)
      if (toDriver) emit('data', toDriver)
      if (failed) socket.destroy()
      if (failed || isRest) return
    }
  }

  socket.write = (bytes: Uint8Array | string) => {
    socket.write = write
    const first = Buffer.from(bytes)
    if (isCancelRequest(first)) phase = 'cancel'
    return socket.write(phase === 'cancel' ? first : startupMessage(first))
  }

  Object.defineProperty(socket, 'emit', {
    value(event: string | symbol, ...args: unknown[]): boolean {
      const [bytes] = args
      if (event === 'data' && phase !== 'ready' && bytes instanceof Buffer) {
        try {
          receive(bytes)
        } catch (err) {
          socket.destroy(err instanceof Error ? err : new Error(String(err)))
        }
        return true
      }
      // TLS can fail twice, by an alert and by the reset that follows. The driver removes its listeners after
      // the first error.
      if (hasFailed && (event === 'error' || event === 'close')) return true
      if (event === 'close' && (phase === 'startup' || phase === 'set-up')) {
        const message = 'the server has closed the connection before it was ready'
        return socket.emit('error', new ConnectionError('CONNECTION_CLOSED', message))
      }
      if (event === 'error') hasFailed = true
      const hasListeners = emit(event, ...args)
      if (event === 'error') emit('close', true)
      return hasListeners
    },
  })
}

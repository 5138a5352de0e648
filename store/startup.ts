import type { Socket } from 'node:net'
import type { AuthMethod } from '../lib/database-url.js'

const TYPE = { authentication: 0x52, error: 0x45, parameterStatus: 0x53, ready: 0x5a }
/** A message is its type, one byte, and its length, four bytes that count themselves. */
const HEADER_BYTES = 5

/** What the server's requests for authentication ask for, by their numbers. */
const METHODS: Record<number, AuthMethod> = { 3: 'password', 5: 'md5', 10: 'scram-sha-256' }
const AUTHENTICATED = 0
const SCRAM_CHALLENGE = 11
const SCRAM_FINAL = 12
/** A challenge is worked through without a pause of the event loop. PostgreSQL's default is 4096. */
const MAX_SCRAM_ITERATIONS = 100_000

/** Whether the driver can answer the server's challenge (RFC 5802, section 5.1), and at once. */
function isSoundChallenge(text: string): boolean {
  const [, iterations] = /^r=[!-+\--~]+,s=[A-Za-z0-9+/]+={0,2},i=([1-9]\d{0,8})$/.exec(text) ?? []
  return iterations !== undefined && Number(iterations) <= MAX_SCRAM_ITERATIONS
}

/** The server's authentication is not one that the address accepts. */
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

/** Takes complete messages off the front of what has arrived. */
class Messages {
  #arrived: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): void {
    this.#arrived = Buffer.concat([this.#arrived, bytes])
  }

  next(): Buffer | undefined {
    if (this.#arrived.length < HEADER_BYTES) return undefined
    const length = 1 + this.#arrived.readInt32BE(1)
    if (this.#arrived.length < length) return undefined
    const message = this.#arrived.subarray(0, length)
    this.#arrived = this.#arrived.subarray(length)
    return message
  }

  /** What has arrived and was not taken. */
  get rest(): Buffer {
    return this.#arrived
  }
}

/** Checks how the server authenticates the client, against the methods that are accepted. */
class AuthenticationCheck {
  #method: AuthMethod = 'none'
  #isServerKnown = false

  constructor(readonly accepted: readonly AuthMethod[] | undefined) {}

  /** @throws {AuthMethodRefused} */
  check(message: Buffer): void {
    const request = message.readInt32BE(HEADER_BYTES)
    if (request === SCRAM_CHALLENGE && !isSoundChallenge(message.toString('latin1', HEADER_BYTES + 4))) {
      throw new AuthMethodRefused('the server sends a challenge that no PostgreSQL sends')
    }
    if (!this.accepted) return
    const method = METHODS[request]
    if (method !== undefined) this.#method = method
    if (request === SCRAM_FINAL) this.#isServerKnown = true
    if (method === undefined && request !== AUTHENTICATED) return
    if (!this.accepted.includes(this.#method)) {
      throw new AuthMethodRefused(`the server asks for "${this.#method}", which require_auth does not accept`)
    }
    // The proof of the server's side: whoever has only guessed the name of the method can't give it.
    if (request === AUTHENTICATED && this.#method === 'scram-sha-256' && !this.#isServerKnown) {
      throw new AuthMethodRefused('the server has not proved that it knows the password')
    }
  }
}

/**
 * Sets a connection up before its user, the driver, may send a query: runs `setUp` between the server's readiness and the driver's
 * notice of it, so that no query ever runs without, also after a reconnect. Parameters of the startup message would do the same,
 * but poolers refuse those that they don't know. An error of `setUp` is the connection's error.
 *
 * Also lets `close` follow `error` at once. Node lets some time pass between the two, and the driver takes the connection
 * for usable in that time: a query sent then is never answered, or is answered with the nothing that the next greeting consists of.
 * What the socket reports after its first error is not passed on: nothing listens any more, and the process would end.
 */
export function superviseStartup(
  socket: Socket,
  setUp: string,
  acceptedMethods: readonly AuthMethod[] | undefined,
): void {
  const emit = socket.emit.bind(socket)
  const messages = new Messages()
  const authentication = new AuthenticationCheck(acceptedMethods)
  let phase: 'startup' | 'set-up' | 'ready' = 'startup'
  let hasFailed = false

  /** @returns what of the message the driver is given */
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
      // TLS can fail twice, by an alert and by the reset that follows, and the driver has left after the first.
      if (hasFailed && (event === 'error' || event === 'close')) return true
      if (event === 'error') hasFailed = true
      const heard = emit(event, ...args)
      if (event === 'error') emit('close', true)
      return heard
    },
  })
}

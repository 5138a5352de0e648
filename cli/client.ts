import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseStored } from '../lib/json.js'
import { reasonOf } from '../lib/reason.js'
import { ErrorBody } from './responses.js'
import { EXIT, Failure } from './failure.js'
import { plain } from './screen.js'

/** Timeout of a request, the body of its response included, in ms. */
const TIMEOUT_MS = 60_000

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was closed',
  EHOSTUNREACH: 'no route to the host',
  ENOTFOUND: 'unknown host',
  ETIMEDOUT: 'timed out',
  UND_ERR_CONNECT_TIMEOUT: 'timed out',
  UND_ERR_SOCKET: 'the connection was closed',
}

/** Describes in a few words why a request got no response. */
export function describeFailure(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  if (!(cause instanceof Error)) return String(cause)
  if (cause.name === 'TimeoutError') return 'timed out'
  return ('code' in cause ? REASONS[String(cause.code)] : undefined) ?? reasonOf(cause)
}

interface Sending {
  /** A body that is sent as JSON. */
  body?: unknown
  /** A body that is streamed as it is, and its media type. */
  raw?: { body: AsyncIterable<Uint8Array>; type: string }
  accept?: string
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** A client of the API at one address, with one token. */
export class Client {
  constructor(
    readonly url: string,
    readonly token: string | undefined,
  ) {}

  /**
   * Sends a request and returns its response, whatever the status.
   * @throws {Failure} if there is no response
   */
  async send(method: string, path: string, sending: Sending = {}): Promise<Response> {
    const { body, raw, accept = 'application/json', headers, signal } = sending
    try {
      return await fetch(new URL(path, this.url), {
        method,
        headers: {
          accept,
          ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(raw && { 'content-type': raw.type }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(raw && { body: raw.body, duplex: 'half' }),
        redirect: 'manual',
        signal: signal ?? AbortSignal.timeout(TIMEOUT_MS),
      })
    } catch (error) {
      throw this.#unreachable(error)
    }
  }

  /**
   * Sends a request and returns the body of its response, which must match `schema`.
   * @throws {Failure} if there is no response, if its status is an error (with the API's message), or if its
   * body does not match
   */
  async request<Schema extends TSchema>(
    schema: Schema,
    method: string,
    path: string,
    sending?: Sending,
  ): Promise<Static<Schema>> {
    const response = await this.send(method, path, sending)
    if (!response.ok) throw await this.refusal(response)
    return this.read(schema, response)
  }

  /**
   * Reads the body of a response.
   * @throws {Failure} if it does not arrive completely, or does not match the schema
   */
  async read<Schema extends TSchema>(schema: Schema, response: Response): Promise<Static<Schema>> {
    const body = await this.#readBody(response)
    if (!Value.Check(schema, body)) throw this.#stranger()
    return body
  }

  /** Turns an error response into a `Failure`. */
  async refusal(response: Response): Promise<Failure> {
    const body = await this.#readBody(response)
    if (!Value.Check(ErrorBody, body)) return this.#stranger()
    if (body.error === 'unauthenticated') {
      return new Failure(`You are not signed in at ${this.url}: run "silo login" first.`, EXIT.access)
    }
    const details = body.details.map(({ field, message }) => `\n  ${plain(`${field} ${message}`)}`).join('')
    const access = response.status === 401 || response.status === 403
    return new Failure(plain(body.message) + details, access ? EXIT.access : EXIT.refused)
  }

  /**
   * Parses the body of a response, with numbers exactly as they are written.
   * @returns undefined if it is not JSON
   * @throws {Failure} if it does not arrive completely
   */
  async #readBody(response: Response): Promise<unknown> {
    const text = await response.text().catch((error: unknown) => {
      throw this.#unreachable(error)
    })
    try {
      return parseStored(text)
    } catch {
      return undefined
    }
  }

  #unreachable(error: unknown): Failure {
    return new Failure(`Failed to reach ${this.url}: ${describeFailure(error)}.`, EXIT.unreachable)
  }

  #stranger(): Failure {
    return new Failure(`${this.url} did not respond like a Silo service. Check the address.`)
  }
}

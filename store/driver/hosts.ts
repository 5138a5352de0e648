import { type ConnectionOptions } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type DatabaseAddress,
  type Host,
  type SslMode,
  findPassword,
  hostName,
} from '../../lib/database-url.js'
import { reasonOf } from '../../lib/reason.js'
import { singleFlight } from '../../lib/single-flight.js'
import { ConnectionError, type Target } from './socket.js'
import { isTlsAlert, tlsReasonOf } from './tls.js'

/** When a connection is encrypted: if the server offers TLS, always, or never. */
type Encryption = 'offered' | 'always' | 'never'

/** A server, and whether connections to it are encrypted. */
export interface Endpoint {
  host: Host
  encryption: Encryption
}

/** What a server lets a new connection do. */
export interface ServerState {
  writable: boolean
  in_recovery: boolean
}

/** The selected server, and its state when it was selected. */
export interface Selection extends ServerState {
  endpoint: Endpoint
}

/**
 * The encryptions that are tried for each `sslmode`, in order. The next one is tried after one of
 * `ENCRYPTION_ERRORS`.
 */
const ENCRYPTIONS: Record<SslMode, readonly [Encryption, ...Encryption[]]> = {
  disable: ['never'],
  allow: ['never', 'always'],
  prefer: ['offered', 'never'],
  require: ['always'],
  'verify-ca': ['always'],
  'verify-full': ['always'],
}

/**
 * Errors that another encryption may avoid. 28000: the server rejects a connection because it is, or is not,
 * encrypted.
 */
const ENCRYPTION_ERRORS = new Set<unknown>(['TLS_REFUSED', 'TLS_FAILED', '28000'])

const isEncryptionError = (err: unknown): boolean =>
  isTlsAlert(err) || (err instanceof Error && 'code' in err && ENCRYPTION_ERRORS.has(err.code))

/** How long a suitable server is held back while a server before it in the list has not responded, in ms. */
const PREFERENCE_MS = 300

/** Thrown when none of several hosts can be used. */
export class NoHostError extends Error {
  override readonly name = 'NoHostError'
  readonly code = 'NO_HOST'

  constructor(readonly failures: readonly { host: Host; error: unknown }[]) {
    super(failures.map(({ host, error }) => `${hostName(host)}: ${describeFailure(error)}`).join('; '))
  }
}

/** Describes in one line why a connection failed. */
export function describeFailure(err: unknown): string {
  return isTlsAlert(err) ? `the server closed the TLS connection: ${tlsReasonOf(err)}` : reasonOf(err)
}

/** Returns how well a server matches `target_session_attrs`: 0 is best, undefined is not at all. */
function rankOf({ sessionAttributes, hosts }: DatabaseAddress, state: ServerState): number | undefined {
  const best = (isBest: boolean, otherwise: number | undefined) => (isBest ? 0 : otherwise)
  switch (sessionAttributes) {
    case 'any':
      // Of several servers, a writable one is preferred; a single one is always taken.
      return best(hosts.length === 1 || state.writable, 1)
    case 'read-write':
      return best(state.writable, undefined)
    case 'read-only':
      return best(!state.writable, undefined)
    case 'primary':
      return best(!state.in_recovery, undefined)
    case 'standby':
      return best(state.in_recovery, undefined)
    case 'prefer-standby':
      return best(state.in_recovery, 1)
  }
}

/** Opens a connection to the endpoint, and returns the server's state. */
export type Probe = (endpoint: Endpoint, signal: AbortSignal) => Promise<ServerState>

/** The servers of a database URL, and the one that is in use. */
export class Hosts {
  #selected: Endpoint | undefined
  readonly #closing = new AbortController()

  constructor(
    readonly address: DatabaseAddress,
    readonly tlsOptions: (host: string) => ConnectionOptions,
    /** The content of the password file. */
    readonly passwords: string,
    readonly probe: Probe,
  ) {}

  /** The server in use; undefined until one is selected. */
  get selected(): Endpoint | undefined {
    return this.#selected
  }

  /** The names of the servers, for messages. */
  get name(): string {
    return this.address.hosts.map(hostName).join(', ')
  }

  /** Returns the password for the server in use; empty if there is none. */
  password(): string {
    const { password, database, user, hosts } = this.address
    const host = this.#selected?.host ?? hosts[0]
    return password ?? findPassword(this.passwords, { host, database, user }) ?? ''
  }

  /** Returns a copy that uses only `endpoint`. */
  only(endpoint: Endpoint): Hosts {
    const hosts = new Hosts(this.address, this.tlsOptions, this.passwords, this.probe)
    hosts.#selected = endpoint
    return hosts
  }

  /**
   * Returns where the next connection goes. Without a selection, one of several servers is selected first,
   * and a single server gets the first encryption of its `sslmode`.
   */
  async current(signal: AbortSignal): Promise<Target> {
    const { hosts, tls, connectTimeoutMs } = this.address
    if (!this.#selected && hosts.length > 1) {
      const aborted = new Promise<never>((_, reject) => {
        const end = () =>
          reject(new ConnectionError('CONNECTION_ENDED', 'the connection attempt was cancelled'))
        if (signal.aborted) end()
        signal.addEventListener('abort', end, { once: true })
      })
      await Promise.race([this.select(), aborted])
    }
    const { host, encryption } = this.#selected ?? { host: hosts[0], encryption: ENCRYPTIONS[tls.mode][0] }
    return {
      host,
      tls: encryption === 'never' ? undefined : this.tlsOptions('host' in host ? host.host : ''),
      tlsIsOptional: encryption === 'offered',
      tlsIsDirect: tls.direct,
      timeoutMs: connectTimeoutMs,
    }
  }

  /** Drops the selection if there are several servers; the next connection makes another. */
  forget(): void {
    if (this.address.hosts.length > 1) this.#selected = undefined
  }

  /**
   * Connects to all servers at once and selects the first suitable one. Only new connections have the current
   * defaults of their database, so a selection also shows changes that open connections don't. Concurrent
   * calls share a selection.
   * @throws the error of a single server, or {NoHostError} if there are several
   */
  readonly select = singleFlight(async (): Promise<Selection> => {
    const selection = await this.#select()
    this.#selected = selection.endpoint
    return selection
  })

  /** Aborts a running selection. */
  close(): void {
    this.#closing.abort()
  }

  async #select(): Promise<Selection> {
    const { address } = this
    const hosts = address.shuffled ? shuffled(address.hosts) : [...address.hosts]
    const outcomes: (Selection | { error: unknown } | undefined)[] = hosts.map(() => undefined)
    const best = (rank: number) =>
      outcomes.find(
        (outcome): outcome is Selection =>
          outcome !== undefined && !('error' in outcome) && rankOf(address, outcome) === rank,
      )
    const attempts = hosts.map(async (host, index) => {
      try {
        const selection = await this.#probeHost(host)
        if (rankOf(address, selection) === undefined) throw new Error(unsuitable(address, selection))
        outcomes[index] = selection
        if (rankOf(address, selection) === 0 && index > 0) await delay(PREFERENCE_MS)
      } catch (error) {
        outcomes[index] = { error }
      }
      if (!best(0)) throw new Error('not this one')
    })
    await Promise.any(attempts).catch(() => undefined)
    const selection = best(0) ?? best(1)
    if (selection) return selection
    const failures = hosts.map((host, index) => {
      const outcome = outcomes[index]
      return { host, error: outcome && 'error' in outcome ? outcome.error : undefined }
    })
    throw failures.length === 1 ? failures[0]?.error : new NoHostError(failures)
  }

  async #probeHost(host: Host): Promise<Selection> {
    let failure: unknown
    for (const encryption of ENCRYPTIONS[this.address.tls.mode]) {
      const endpoint = { host, encryption }
      try {
        return { endpoint, ...(await this.probe(endpoint, this.#closing.signal)) }
      } catch (err) {
        failure ??= err
        if (!isEncryptionError(err)) throw err
      }
    }
    throw failure
  }
}

function unsuitable({ sessionAttributes }: DatabaseAddress, { writable, in_recovery }: ServerState): string {
  const is = in_recovery ? 'is a standby' : writable ? 'accepts writes' : 'accepts no writes'
  return `the server ${is}, and target_session_attrs is ${sessionAttributes}`
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

import { isIP } from 'node:net'

/** A `Host` (RFC 9110, section 7.2) as far as it is used: a name or an address, and a port. */
interface Host {
  /** In lower case, without the dot that may end a name; IPv6 without its brackets. */
  name: string
  /** Undefined where none is written. */
  port: string | undefined
}

const HOST = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::(\d{1,5})?)?$/i

/** Reads a `Host`. Undefined for what is none: an empty one, one with a user or a path, a list. */
export function parseHost(text: string): Host | undefined {
  const found = HOST.exec(text)
  if (!found) return undefined
  const [, address, name = '', port] = found
  if (address !== undefined) return isIP(address) === 6 ? { name: address.toLowerCase(), port } : undefined
  const bare = name.toLowerCase().replace(/\.$/, '')
  return bare === '' ? undefined : { name: bare, port }
}

/** The authority of a request target in absolute form (RFC 9112, section 3.2.2), and the rest of it as a path. */
export function splitTarget(target: string): { authority: string; path: string } | undefined {
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)(.*)/is.exec(target) ?? []
  if (authority === undefined) return undefined
  return { authority, path: rest.startsWith('/') ? rest : `/${rest}` }
}

/** Whether a text is an origin that the service can be reached at: `http` or `https`, and nothing behind the port. */
export function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  const isWeb = url.protocol === 'http:' || url.protocol === 'https:'
  return isWeb && isPlain && url.pathname === '/' && !/[?#@]/.test(text) && parseHost(url.host) !== undefined
}

const isLoopbackName = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost')

const isLoopbackAddress = (host: string): boolean =>
  host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/** Whether an address to listen on is reached from this machine alone. */
export const isLoopback = (host: string): boolean => isLoopbackName(host) || isLoopbackAddress(host)

const WILDCARDS = new Set(['0.0.0.0', '::'])

const isHttps = (origin: URL): boolean => origin.protocol === 'https:'
const portOf = (origin: URL): string => origin.port || (isHttps(origin) ? '443' : '80')

/** What a request says of the way by which the client reached the service. */
export interface Reached {
  /** The `Host`, as the client sent it to the outermost trusted proxy. */
  host: string
  /** The scheme by which the outermost trusted proxy was reached. */
  protocol: string
}

/**
 * What the service is called outside, by `PUBLIC_URL` and the address it listens on. Decides which hosts are answered, from
 * which origins a write by cookie is taken, and whether the browser reached it by TLS.
 */
export class Site {
  readonly #origins: readonly URL[]
  readonly #names: ReadonlySet<string>

  /**
   * @param publicUrls of which each passes `isPublicUrl`; the first is the one that documents name
   * @param listening the address to listen on: its name is answered, too
   * @param port the port it listens on
   */
  constructor(
    publicUrls: readonly string[],
    readonly listening: string,
    public port: number,
  ) {
    this.#origins = publicUrls.map((url) => new URL(url))
    const hosts = [...this.#origins.map(({ host }) => host), listening]
    this.#names = new Set(hosts.flatMap((host) => parseHost(host)?.name ?? []))
  }

  /** The origin that documents name. */
  get origin(): string {
    const [first] = this.#origins
    if (first) return first.origin
    const host = WILDCARDS.has(this.listening) ? 'localhost' : this.listening
    return `http://${isIP(host) === 6 ? `[${host}]` : host}:${this.port}`
  }

  /** The name of the session's cookie where the service is reached at `origin`. */
  get documentedCookie(): string {
    const { host, protocol } = new URL(this.origin)
    return this.cookieName({ host, protocol: protocol.replace(':', '') })
  }

  /** Whether the service is called by TLS alone, so that a browser may be told to use nothing else. */
  get isTlsOnly(): boolean {
    return this.#origins.length > 0 && this.#origins.every(isHttps)
  }

  /**
   * Whether a `Host` is answered: a name of `PUBLIC_URL`, the name that the service listens on, a loopback name, or any address.
   * An address can't be made to point elsewhere, a name can (DNS rebinding).
   */
  answers({ name }: Host): boolean {
    return this.#names.has(name) || isLoopbackName(name) || isIP(name) !== 0
  }

  /** The origins of `PUBLIC_URL` that have the request's name. */
  #called({ host }: Reached): readonly URL[] {
    const name = parseHost(host)?.name
    return this.#origins.filter((origin) => parseHost(origin.host)?.name === name)
  }

  /** Whether the browser reached the service by TLS: a trusted proxy says so, or `PUBLIC_URL`. */
  isSecure(reached: Reached): boolean {
    const called = this.#called(reached)
    return reached.protocol === 'https' || (called.length > 0 ? called.every(isHttps) : this.isTlsOnly)
  }

  /**
   * The name of the session's cookie. A browser keeps cookies by host, whatever the port, so the name carries the port: two
   * services of one host don't overwrite each other's. With TLS it has the prefix that keeps other hosts of the
   * domain from setting it (RFC 6265bis, section 4.1.3.2).
   */
  cookieName(reached: Reached): string {
    const [called, ...others] = this.#called(reached)
    const isSecure = this.isSecure(reached)
    const port =
      called && others.length === 0 && isHttps(called) === isSecure
        ? portOf(called)
        : (parseHost(reached.host)?.port ?? (isSecure ? '443' : '80'))
    return `${isSecure ? '__Host-' : ''}silo_session_${port}`
  }

  /** Whether a page of this origin is one of ours. */
  isOwnOrigin(origin: string, reached: Reached): boolean {
    if (this.#origins.some((own) => own.origin === origin)) return true
    const isNamed = this.#called(reached).length > 0 && reached.protocol !== 'https'
    return !isNamed && origin === `${reached.protocol}://${reached.host.toLowerCase()}`
  }
}

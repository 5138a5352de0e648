import { isIP } from 'node:net'

/** A parsed `Host` (RFC 9110, section 7.2). */
interface Host {
  /** The name or the address: in lower case, without a trailing dot, IPv6 without its brackets. */
  name: string
  /** The port; undefined if there is none. */
  port: string | undefined
}

const HOST = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::(\d{1,5})?)?$/i

/** Parses a `Host`. Undefined if it is malformed: empty, with a user or a path, or a list. */
export function parseHost(text: string): Host | undefined {
  const found = HOST.exec(text)
  if (!found) return undefined
  const [, address, name = '', port] = found
  if (address !== undefined) return isIP(address) === 6 ? { name: address.toLowerCase(), port } : undefined
  const bare = name.toLowerCase().replace(/\.$/, '')
  return bare === '' ? undefined : { name: bare, port }
}

/**
 * Splits a request target in absolute form (RFC 9112, section 3.2.2) into its authority and the rest as a
 * path; undefined for other forms.
 */
export function splitTarget(target: string): { authority: string; path: string } | undefined {
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)(.*)/is.exec(target) ?? []
  if (authority === undefined) return undefined
  return { authority, path: rest.startsWith('/') ? rest : `/${rest}` }
}

/** Whether a text is a public origin of the service: `http` or `https`, and nothing after the port. */
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

/** Whether an address to listen on can be reached only from this machine. */
export const isLoopback = (host: string): boolean => isLoopbackName(host) || isLoopbackAddress(host)

const WILDCARDS = new Set(['0.0.0.0', '::'])

const isHttps = (origin: URL): boolean => origin.protocol === 'https:'
const portOf = (origin: URL): string => origin.port || (isHttps(origin) ? '443' : '80')

/** How the client reached the service, according to a request. */
export interface Reached {
  /** The `Host` that the client sent to the outermost trusted proxy. */
  host: string
  /** The scheme with which the client reached the outermost trusted proxy. */
  protocol: string
}

/**
 * The public names of the service, from `PUBLIC_URL` and the address it listens on. Decides which hosts are
 * accepted, from which origins a write with a session cookie is accepted, and whether the browser uses TLS.
 */
export class Site {
  readonly #origins: readonly URL[]
  readonly #names: ReadonlySet<string>

  /**
   * @param publicUrls each of which passes `isPublicUrl`; documents contain the first one
   * @param listening the address to listen on, whose name is accepted as well
   * @param port the port to listen on
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

  /** The origin of the URLs in documents. */
  get origin(): string {
    const [first] = this.#origins
    if (first) return first.origin
    const host = WILDCARDS.has(this.listening) ? 'localhost' : this.listening
    return `http://${isIP(host) === 6 ? `[${host}]` : host}:${this.port}`
  }

  /** The name of the session cookie for clients that reach the service at `origin`. */
  get documentedCookie(): string {
    const { host, protocol } = new URL(this.origin)
    return this.cookieName({ host, protocol: protocol.replace(':', '') })
  }

  /** Whether all public origins use TLS, so that browsers may be instructed to use nothing else. */
  get isTlsOnly(): boolean {
    return this.#origins.length > 0 && this.#origins.every(isHttps)
  }

  /**
   * Whether requests for a host are accepted: a name of `PUBLIC_URL`, the name that the service listens on, a
   * loopback name, or any address. A name can be made to point to another address (DNS rebinding); an address
   * can't.
   */
  accepts({ name }: Host): boolean {
    return this.#names.has(name) || isLoopbackName(name) || isIP(name) !== 0
  }

  /** Returns the origins of `PUBLIC_URL` with the request's host name. */
  #matchingOrigins({ host }: Reached): readonly URL[] {
    const name = parseHost(host)?.name
    return this.#origins.filter((origin) => parseHost(origin.host)?.name === name)
  }

  /** Whether the browser reached the service by TLS, according to a trusted proxy or to `PUBLIC_URL`. */
  isSecure(reached: Reached): boolean {
    const origins = this.#matchingOrigins(reached)
    return reached.protocol === 'https' || (origins.length > 0 ? origins.every(isHttps) : this.isTlsOnly)
  }

  /**
   * Returns the name of the session cookie. A browser stores cookies by host, whatever the port, so the name
   * contains the port: two services on one host don't overwrite each other's cookies (docs/decisions/0024).
   * With TLS it has the prefix `__Host-`, which keeps other hosts of the domain from setting it (RFC 6265bis,
   * section 4.1.3.2).
   */
  cookieName(reached: Reached): string {
    const [origin, ...others] = this.#matchingOrigins(reached)
    const isSecure = this.isSecure(reached)
    const port =
      origin && others.length === 0 && isHttps(origin) === isSecure
        ? portOf(origin)
        : (parseHost(reached.host)?.port ?? (isSecure ? '443' : '80'))
    return `${isSecure ? '__Host-' : ''}silo_session_${port}`
  }

  /** Whether an origin is that of the service's own pages. */
  isOwnOrigin(origin: string, reached: Reached): boolean {
    if (this.#origins.some((own) => own.origin === origin)) return true
    const isNamed = this.#matchingOrigins(reached).length > 0 && reached.protocol !== 'https'
    return !isNamed && origin === `${reached.protocol}://${reached.host.toLowerCase()}`
  }
}

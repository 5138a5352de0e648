/**
 * Thrown for a database URL that can't be used. The message names the parameter and what it must be, never a
 * value.
 */
export class DatabaseUrlError extends Error {
  override readonly name = 'DatabaseUrlError'
}

/** A server's address: a host and a port, or the path of a Unix socket. */
export type Host = { host: string; port: number } | { path: string }

/** The values of `sslmode`. */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof SSL_MODES)[number]

/** The values of `target_session_attrs`. */
export const SESSION_ATTRIBUTES = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const
export type SessionAttributes = (typeof SESSION_ATTRIBUTES)[number]

/** The authentication methods that `require_auth` can name. */
export const AUTH_METHODS = ['none', 'password', 'md5', 'scram-sha-256'] as const
export type AuthMethod = (typeof AUTH_METHODS)[number]

/** The TLS parameters of a database URL. Files are named, not read. */
export interface TlsDemands {
  mode: SslMode
  /**
   * The file of the authorities against which the server's certificate is verified; Node's own authorities if
   * undefined.
   */
  rootCertFile: string | undefined
  certFile: string | undefined
  keyFile: string | undefined
  keyPassphrase: string | undefined
  crlFile: string | undefined
  minVersion: TlsVersion | undefined
  maxVersion: TlsVersion | undefined
  /** Whether the handshake contains the server's name (SNI). */
  sendsName: boolean
  /** Whether the connection begins with the TLS handshake, without an SSLRequest. */
  direct: boolean
}

const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const
type TlsVersion = (typeof TLS_VERSIONS)[number]

/** A parsed `postgres://` URL. */
export interface DatabaseAddress {
  /** At least one, in the order in which they are tried. */
  hosts: readonly [Host, ...Host[]]
  /** Whether the hosts are tried in a random order. */
  shuffled: boolean
  user: string
  password: string | undefined
  /** The password file that is read if there is no password. */
  passfile: string | undefined
  database: string
  tls: TlsDemands
  sessionAttributes: SessionAttributes
  /** The methods with which the server may authenticate the client; undefined for any. */
  authMethods: readonly AuthMethod[] | undefined
  applicationName: string
  /** Command-line options for the server process of the connection (`-c name=value`). */
  options: string | undefined
  connectTimeoutMs: number
  /**
   * How long a connection is idle before the operating system sends a keep-alive probe, in seconds; 0 for
   * never.
   */
  keepAliveSeconds: number
}

const DEFAULT_PORT = 5432
const DEFAULT_CONNECT_TIMEOUT_S = 5
const DEFAULT_KEEP_ALIVE_S = 60

/**
 * The supported parameters, each with the environment variable of libpq that replaces it if it is missing.
 */
const PARAMETERS: Record<string, string | undefined> = {
  application_name: 'PGAPPNAME',
  channel_binding: 'PGCHANNELBINDING',
  client_encoding: 'PGCLIENTENCODING',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  dbname: 'PGDATABASE',
  gssencmode: 'PGGSSENCMODE',
  host: 'PGHOST',
  keepalives: undefined,
  keepalives_idle: undefined,
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  options: 'PGOPTIONS',
  passfile: 'PGPASSFILE',
  password: 'PGPASSWORD',
  port: 'PGPORT',
  require_auth: 'PGREQUIREAUTH',
  ssl: undefined,
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  sslcert: 'PGSSLCERT',
  sslcrl: 'PGSSLCRL',
  sslkey: 'PGSSLKEY',
  sslmode: 'PGSSLMODE',
  sslnegotiation: 'PGSSLNEGOTIATION',
  sslpassword: undefined,
  sslrootcert: 'PGSSLROOTCERT',
  sslsni: 'PGSSLSNI',
  target_session_attrs: undefined,
  user: 'PGUSER',
}

/**
 * Variables that would make libpq connect elsewhere, and that are not supported. The driver reads the last
 * one.
 */
const REFUSED_VARIABLES = ['PGSERVICE', 'PGHOSTADDR', 'PGREQUIREPEER', 'PGTARGETSESSIONATTRS']

/** What to do instead of parameters that other clients know and that are not supported here. */
const INSTEAD: Record<string, string> = {
  service: 'put the settings of the service file into the URL',
  servicefile: 'put the settings of the service file into the URL',
  hostaddr: 'put the address into host',
  pgbouncer: 'leave it out',
  schema: 'use options=-c%20search_path=…',
  statement_timeout: 'leave it out: the service sets its own',
}

const refuse = (message: string): never => {
  throw new DatabaseUrlError(message)
}

const oneOf = (accepted: readonly string[]): string =>
  accepted.length === 1
    ? String(accepted[0])
    : `${accepted.slice(0, -1).join(', ')} or ${accepted.at(-1) ?? ''}`

function decode(text: string, part: string): string {
  let decoded
  try {
    decoded = decodeURIComponent(text)
  } catch {
    return refuse(`the ${part} contains an invalid percent-encoding: write "%" itself as %25`)
  }
  return decoded.includes('\0') ? refuse(`the ${part} contains NUL`) : decoded
}

/** The parts of a URL, before they are interpreted. */
interface Parts {
  user: string | undefined
  password: string | undefined
  hosts: string[]
  ports: string[]
  database: string | undefined
  query: Map<string, string>
}

/** Splits `host:port`, where the host may be an IPv6 address in brackets. */
function splitHost(text: string): { host: string; port: string } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text)
  if (bracketed) return { host: decode(bracketed[1] ?? '', 'host'), port: bracketed[2] ?? '' }
  if (text.startsWith('[')) return refuse('an IPv6 address must be in brackets: [::1]')
  const colon = text.indexOf(':')
  if (colon !== text.lastIndexOf(':')) {
    return refuse(
      'a host has more than one colon: write an IPv6 address in brackets ([::1]), ' +
        'and percent-encode ":", "/" and "@" in a password',
    )
  }
  const [host, port] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  return { host: decode(host, 'host'), port: decode(port, 'port') }
}

function splitQuery(text: string): Map<string, string> {
  const query = new Map<string, string>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const [name = '', value, ...rest] = pair.split('=')
    const decoded = decode(name, 'name of a parameter')
    if (value === undefined || rest.length > 0) {
      return refuse('a parameter must have the form name=value, with "=" in a value as %3D')
    }
    if (!(decoded in PARAMETERS)) {
      const instead = INSTEAD[decoded]
      const known = /^\w{1,40}$/.test(decoded)
      const accepted = Object.keys(PARAMETERS).join(', ')
      return refuse(
        known
          ? `the parameter ${decoded} is not supported: ${instead ?? `accepted are ${accepted}`}`
          : 'the name of a parameter contains an invalid character',
      )
    }
    if (query.has(decoded)) return refuse(`the parameter ${decoded} is given twice`)
    query.set(decoded, decode(value, `parameter ${decoded}`))
  }
  return query
}

/**
 * Splits a URL as PostgreSQL's documentation of connection URIs specifies. Refuses a URL that seems to have a
 * password with a character that is not percent-encoded: the end of the password would be taken for a host,
 * and appear in messages.
 */
function split(text: string): Parts {
  const rest = /^postgres(?:ql)?:\/\/(.*)$/s.exec(text)?.[1]
  if (rest === undefined) return refuse('must begin with postgres://')
  const userEnd = /[@/]/.exec(rest)
  const hasUser = userEnd?.[0] === '@'
  const userInfo = hasUser ? rest.slice(0, userEnd.index) : ''
  const behind = hasUser ? rest.slice(userEnd.index + 1) : rest
  const [, authority = '', path, query = ''] = /^([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(behind) ?? []
  if (
    authority.includes('@') ||
    path?.includes('@') ||
    (!hasUser && authority !== '' && rest.includes('@'))
  ) {
    return refuse('has an unencoded "@" or "/": in a user or password write %40 and %2F')
  }
  if (path?.includes('/')) return refuse('the name of the database contains a "/": write it as %2F')
  const colon = userInfo.indexOf(':')
  const user = colon < 0 ? userInfo : userInfo.slice(0, colon)
  const password = colon < 0 ? '' : userInfo.slice(colon + 1)
  const members = authority === '' ? [] : authority.split(',').map(splitHost)
  return {
    user: decode(user, 'user') || undefined,
    password: decode(password, 'password') || undefined,
    hosts: members.map(({ host }) => host),
    ports: members.map(({ port }) => port),
    database: decode(path ?? '', 'name of the database') || undefined,
    query: splitQuery(query),
  }
}

function toPort(text: string): number {
  if (text === '') return DEFAULT_PORT
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65535 ? port : refuse('a port must be a whole number, 1 to 65535')
}

/**
 * Interprets a host. One that begins with "/" is the directory of a Unix socket; with "@", the name of an
 * abstract socket of Linux.
 */
function toHost(host: string, port: string): Host {
  const number = toPort(port)
  if (/^[/@]/.test(host)) return { path: `${host.replace(/^@/, '\0')}/.s.PGSQL.${number}` }
  if (/[\s/@]/.test(host)) return refuse('a host contains an invalid character')
  return { host: host || 'localhost', port: number }
}

function toHosts(parts: Parts, host: string | undefined, port: string | undefined): [Host, ...Host[]] {
  const names = host === undefined ? parts.hosts : host.split(',')
  const portTexts = port === undefined ? (host === undefined ? parts.ports : []) : port.split(',')
  const ports = portTexts.length === 1 ? names.map(() => portTexts[0] ?? '') : portTexts
  if (names.length === 0) return [toHost('', portTexts[0] ?? '')]
  if (ports.length > 0 && ports.length !== names.length) {
    return refuse('port must have as many numbers as there are hosts, or one for all')
  }
  const [first, ...others] = names.map((name, index) => toHost(name, ports[index] ?? ''))
  return first ? [first, ...others] : refuse('must name a host')
}

/** Reads parameters by name: from the query of the URL, or from the environment variables of libpq. */
class Reader {
  constructor(
    readonly query: Map<string, string>,
    readonly env: NodeJS.ProcessEnv,
  ) {}

  /** Returns the name of the parameter for messages, with the environment variable that its value is from. */
  #nameOf(name: string): string {
    const variable = PARAMETERS[name]
    return this.query.has(name) || variable === undefined ? name : `${name} (from ${variable})`
  }

  /** Returns the value; undefined if it is missing or empty. */
  text(name: string): string | undefined {
    const variable = PARAMETERS[name]
    return this.query.get(name) || (variable === undefined ? undefined : this.env[variable]) || undefined
  }

  oneOf<T extends string>(name: string, accepted: readonly T[], fallback: T): T
  oneOf<T extends string>(name: string, accepted: readonly T[], fallback: undefined): T | undefined
  oneOf<T extends string>(name: string, accepted: readonly T[], fallback: T | undefined): T | undefined {
    const text = this.text(name)
    if (text === undefined) return fallback
    return accepted.find((value) => value === text) ?? this.refuse(name, `must be ${oneOf(accepted)}`)
  }

  integer(name: string, minimum: number, maximum: number, fallback: number): number {
    const text = this.text(name)
    if (text === undefined) return fallback
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN
    if (value >= minimum && value <= maximum) return value
    return this.refuse(name, `must be a whole number of seconds, ${minimum} to ${maximum}`)
  }

  refuse(name: string, why: string): never {
    return refuse(`${this.#nameOf(name)} ${why}`)
  }
}

function toTls(reader: Reader): TlsDemands {
  const sslmode = reader.oneOf('sslmode', SSL_MODES, undefined)
  const ssl = reader.oneOf('ssl', ['true', 'false'], undefined)
  if (sslmode !== undefined && ssl !== undefined) return refuse('ssl and sslmode must not both be given')
  const requestedMode = sslmode ?? (ssl === undefined ? 'prefer' : ssl === 'true' ? 'require' : 'disable')

  const authorities = reader.text('sslrootcert')
  if (authorities === 'system' && sslmode !== undefined && sslmode !== 'verify-full') {
    return reader.refuse('sslrootcert', 'is system, which requires sslmode=verify-full')
  }
  const certFile = reader.text('sslcert')
  const keyFile = reader.text('sslkey')
  if ((certFile === undefined) !== (keyFile === undefined))
    return refuse('sslcert and sslkey must be given together')
  const direct = reader.oneOf('sslnegotiation', ['postgres', 'direct'], 'postgres') === 'direct'
  // As in libpq, naming the authorities implies that the certificate is verified.
  const mode =
    authorities === 'system'
      ? 'verify-full'
      : requestedMode === 'require' && authorities !== undefined
        ? 'verify-ca'
        : requestedMode
  if (direct && (mode === 'disable' || mode === 'allow' || mode === 'prefer')) {
    return reader.refuse(
      'sslnegotiation',
      'is direct, which requires sslmode=require, verify-ca or verify-full',
    )
  }
  const minVersion = reader.oneOf('ssl_min_protocol_version', TLS_VERSIONS, undefined)
  const maxVersion = reader.oneOf('ssl_max_protocol_version', TLS_VERSIONS, undefined)
  if (minVersion && maxVersion && TLS_VERSIONS.indexOf(minVersion) > TLS_VERSIONS.indexOf(maxVersion)) {
    return refuse('ssl_min_protocol_version must not be above ssl_max_protocol_version')
  }
  return {
    mode,
    rootCertFile: authorities === 'system' ? undefined : authorities,
    certFile,
    keyFile,
    keyPassphrase: reader.text('sslpassword'),
    crlFile: reader.text('sslcrl'),
    minVersion,
    maxVersion,
    sendsName: reader.oneOf('sslsni', ['0', '1'], '1') === '1',
    direct,
  }
}

/** Returns the methods that `require_auth` names, or all except those that it excludes by "!". */
function toAuthMethods(reader: Reader): AuthMethod[] | undefined {
  const names = reader
    .text('require_auth')
    ?.split(',')
    .map((name) => name.trim())
  if (!names) return undefined
  const excludes = names.every((name) => name.startsWith('!'))
  const methods = names.map((name) => {
    const known = AUTH_METHODS.find((method) => method === name.replace(excludes ? /^!/ : '', ''))
    return (
      known ??
      reader.refuse('require_auth', `must be a list of ${oneOf(AUTH_METHODS)}, with "!" before all or none`)
    )
  })
  return excludes ? AUTH_METHODS.filter((method) => !methods.includes(method)) : methods
}

/** Refuses parameters that the service can't honour, unless their value is what the service does anyway. */
function checkTheRest(reader: Reader): void {
  if (reader.text('channel_binding') === 'require') {
    reader.refuse(
      'channel_binding',
      'is require, which is not supported: use prefer, and sslmode=verify-full to verify the server',
    )
  }
  reader.oneOf('channel_binding', ['disable', 'prefer'], 'prefer')
  reader.oneOf('gssencmode', ['disable', 'prefer'], 'disable')
  const encoding = reader.text('client_encoding')?.toLowerCase().replaceAll(/[-_]/g, '')
  if (encoding !== undefined && encoding !== 'utf8' && encoding !== 'auto') {
    reader.refuse('client_encoding', 'must be UTF8: no other encoding is supported')
  }
  for (const variable of REFUSED_VARIABLES) {
    if (reader.env[variable])
      refuse(`${variable} is not supported: unset it, and put its setting into the URL`)
  }
}

/**
 * Parses a `postgres://` or `postgresql://` URL by the rules of libpq: several hosts, Unix sockets, IPv6
 * addresses, and the parameters of the query. What it doesn't specify comes from the `PG…` variables of `env`
 * that libpq reads, and then from the defaults of libpq.
 * @param systemUser the name of the user that runs the process
 * @throws {DatabaseUrlError} for anything that can't be honoured
 */
export function parseDatabaseUrl(
  text: string,
  env: NodeJS.ProcessEnv = {},
  systemUser?: string,
): DatabaseAddress {
  const parts = split(text)
  const reader = new Reader(parts.query, env)
  checkTheRest(reader)
  const user =
    parts.query.get('user') ?? parts.user ?? reader.text('user') ?? systemUser ?? refuse('must name a user')
  const host = parts.query.get('host') ?? (parts.hosts.some(Boolean) ? undefined : reader.text('host'))
  const port = parts.query.get('port') ?? (parts.ports.some(Boolean) ? undefined : reader.text('port'))
  return {
    hosts: toHosts(parts, host, port),
    shuffled: reader.oneOf('load_balance_hosts', ['disable', 'random'], 'disable') === 'random',
    user,
    password: parts.query.get('password') ?? parts.password ?? reader.text('password'),
    passfile: reader.text('passfile'),
    database: parts.query.get('dbname') ?? parts.database ?? reader.text('dbname') ?? user,
    tls: toTls(reader),
    sessionAttributes: reader.oneOf('target_session_attrs', SESSION_ATTRIBUTES, 'any'),
    authMethods: toAuthMethods(reader),
    applicationName: reader.text('application_name') ?? 'silo',
    options: reader.text('options'),
    connectTimeoutMs: 1000 * reader.integer('connect_timeout', 1, 600, DEFAULT_CONNECT_TIMEOUT_S),
    keepAliveSeconds:
      reader.oneOf('keepalives', ['0', '1'], '1') === '0'
        ? 0
        : reader.integer('keepalives_idle', 1, 86_400, DEFAULT_KEEP_ALIVE_S),
  }
}

/** Returns the name of a host for messages and logs. */
export function hostName(host: Host): string {
  if ('path' in host) return host.path.replace('\0', '@')
  return host.host.includes(':') ? `[${host.host}]:${host.port}` : `${host.host}:${host.port}`
}

/** Splits a line of a password file into its fields. A backslash escapes the character that follows. */
function splitFields(line: string): string[] {
  const fields = ['']
  for (let i = 0; i < line.length; i++) {
    const isEscape = line[i] === '\\' && i + 1 < line.length
    if (isEscape) i++
    if (line[i] === ':' && !isEscape) fields.push('')
    else fields.push((fields.pop() ?? '') + (line[i] ?? ''))
  }
  return fields
}

/**
 * Finds the password of a connection in a password file with lines `host:port:database:user:password`. A
 * field of "*" matches anything.
 */
export function findPassword(
  text: string,
  { host, database, user }: { host: Host; database: string; user: string },
): string | undefined {
  const wanted = [
    ...('path' in host
      ? ['localhost', host.path.slice(host.path.lastIndexOf('.') + 1)]
      : [host.host, String(host.port)]),
    database,
    user,
  ]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue
    const fields = splitFields(line)
    if (!wanted.every((value, index) => fields[index] === '*' || fields[index] === value)) continue
    const password = fields.slice(wanted.length).join(':')
    if (password !== '') return password
  }
  return undefined
}

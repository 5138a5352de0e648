import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { DatabaseUrlError, parseDatabaseUrl } from './lib/database-url.js'
import { StartError } from './errors.js'
import { isNetwork } from './lib/address.js'
import { isPublicUrl } from './lib/site.js'
import { PASSWORD_LENGTH, USERNAME } from './schemas/users.js'

const milliseconds = (minimum: number) => ({
  minimum,
  maximum: 86_400_000,
  mustBe: `a whole number of milliseconds, at least ${minimum}`,
})

/**
 * The environment variables and their defaults. `mustBe` completes the error message "NAME must be …", and is
 * the text in the table of the documentation.
 */
export const Environment = Type.Object({
  HOST: Type.String({ minLength: 1, default: '127.0.0.1', mustBe: 'the address to listen on' }),
  PORT: Type.Integer({
    minimum: 0,
    maximum: 65535,
    default: 8080,
    mustBe: 'a port number, 0 (any free port) to 65535',
  }),
  PUBLIC_URL: Type.Array(Type.String(), {
    default: [],
    mustBe: 'a comma-separated list of http:// or https:// URLs without a path',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      mustBe: 'a postgres:// URL; without it, an embedded PostgreSQL runs',
    }),
  ),
  SILO_DATA_DIR: Type.String({
    minLength: 1,
    default: '.silo',
    mustBe: 'the folder of the embedded PostgreSQL',
  }),
  SILO_ADMIN_USERNAME: Type.String({
    pattern: USERNAME,
    default: 'admin',
    mustBe: 'the username of the first admin: 1 to 64 letters, digits, ".", "_", "@" or "-"',
  }),
  SILO_ADMIN_PASSWORD: Type.Optional(
    Type.String({
      ...PASSWORD_LENGTH,
      mustBe:
        `the password of the first admin: ${PASSWORD_LENGTH.minLength} to ${PASSWORD_LENGTH.maxLength} ` +
        'characters',
    }),
  ),
  JWT_SECRET: Type.Optional(
    Type.String({
      minLength: 32,
      mustBe: 'a random secret of at least 32 characters, the same on every instance',
    }),
  ),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', mustBe: 'trace, debug, info, warn, error, fatal or silent' },
  ),
  TRUST_PROXY: Type.Array(Type.String(), {
    default: [],
    mustBe: 'a comma-separated list of addresses, networks (10.0.0.0/8) or loopback, linklocal, uniquelocal',
  }),
  READ_ONLY: Type.Boolean({ default: false, mustBe: 'true or false' }),
  HEARTBEAT_MS: Type.Integer({ default: 30_000, ...milliseconds(100) }),
  EVENT_RETENTION_HOURS: Type.Number({
    exclusiveMinimum: 0,
    maximum: 876_000,
    default: 168,
    mustBe: 'a number of hours greater than 0',
  }),
  SSE_MAX_CLIENTS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
    mustBe: 'a whole number, at least 1',
  }),
  SSE_MAX_CLIENTS_PER_USER: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 1000,
    mustBe: 'a whole number, at least 1',
  }),
  SSE_MAX_CLIENTS_PER_ADDRESS: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 1000,
    mustBe: 'a whole number, at least 1',
  }),
  DRAIN_DELAY_MS: Type.Integer({ default: 0, ...milliseconds(0) }),
  SHUTDOWN_TIMEOUT_MS: Type.Integer({ default: 10_000, ...milliseconds(1000) }),
})

/** The configuration, converted and complete. */
export type Config = Static<typeof Environment>

/**
 * The configuration of an application: the database and the secret are known, whether they are configured or
 * those of the embedded database.
 */
export type AppConfig = Config & { DATABASE_URL: string; JWT_SECRET: string }

/**
 * Thrown for an environment variable with an invalid value. The message names the variable and says what it
 * must be, never its value.
 */
export class ConfigError extends StartError {
  override readonly name = 'ConfigError'
}

const mustBe = (schema: TSchema): string => String(schema.mustBe)

/** No random secret of the required length has fewer distinct characters than this, whatever its alphabet. */
const MIN_DISTINCT_CHARACTERS = 8

/** Whether a secret has its length only by repetition: of a few characters, or of a shorter text. */
function isGuessable(secret: string): boolean {
  const half = Math.floor(secret.length / 2)
  const repeats = (period: number) => secret.startsWith(secret.slice(period))
  return (
    new Set(secret).size < MIN_DISTINCT_CHARACTERS ||
    Array.from({ length: half }, (_, i) => i + 1).some(repeats)
  )
}

/**
 * Converts the text to its schema's type; returns it unchanged if it has no such form. TypeBox's own
 * conversion makes 80 of "80.5".
 */
function convert({ type }: TSchema, text: string): unknown {
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (type === 'array') return text.split(',').map((part) => part.trim())
  return text
}

function checkDatabaseUrl(url: string, env: NodeJS.ProcessEnv): void {
  try {
    parseDatabaseUrl(url, env, 'the system knows')
  } catch (err) {
    if (err instanceof DatabaseUrlError) throw new ConfigError(`DATABASE_URL: ${err.message}`)
    throw err
  }
}

/**
 * Reads the configuration from `env`. An empty value counts as unset, as in an env file.
 * @throws {ConfigError} for the first variable that is invalid
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const input: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries<TSchema>(Environment.properties)) {
    const text = env[name]
    if (text !== undefined && text !== '') input[name] = convert(schema, text)
  }

  const config = Value.Default(Environment, input)
  const wrong = Value.Errors(Environment, config).First()
  if (wrong) {
    const name = wrong.path.split('/')[1] ?? ''
    const schema: TSchema | undefined = Object.entries(Environment.properties).find(
      ([key]) => key === name,
    )?.[1]
    throw new ConfigError(`${name} must be ${schema ? mustBe(schema) : wrong.message}`)
  }
  const checked = Value.Decode(Environment, config)
  if (!checked.TRUST_PROXY.every(isNetwork)) {
    throw new ConfigError(`TRUST_PROXY must be ${mustBe(Environment.properties.TRUST_PROXY)}`)
  }
  if (checked.JWT_SECRET !== undefined && isGuessable(checked.JWT_SECRET)) {
    throw new ConfigError(`JWT_SECRET must be ${mustBe(Environment.properties.JWT_SECRET)}`)
  }
  if (!checked.PUBLIC_URL.every(isPublicUrl)) {
    throw new ConfigError(`PUBLIC_URL must be ${mustBe(Environment.properties.PUBLIC_URL)}`)
  }
  if (checked.DATABASE_URL !== undefined && checked.JWT_SECRET === undefined) {
    throw new ConfigError(
      `JWT_SECRET must be given with DATABASE_URL: ${mustBe(Environment.properties.JWT_SECRET)}`,
    )
  }
  if (checked.DATABASE_URL !== undefined) checkDatabaseUrl(checked.DATABASE_URL, env)
  if (checked.DRAIN_DELAY_MS >= checked.SHUTDOWN_TIMEOUT_MS) {
    throw new ConfigError('DRAIN_DELAY_MS must be less than SHUTDOWN_TIMEOUT_MS')
  }
  return checked
}

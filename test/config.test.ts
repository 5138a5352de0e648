import { readFile } from 'node:fs/promises'
import type { TSchema } from '@sinclair/typebox'
import t from 'tap'
import { Environment, readConfig } from '../config.js'
import { startService } from './harness/service.js'

const SECRET = 'a secret of at least 32 characters'

const read = (file: string): Promise<string> => readFile(new URL(file, import.meta.resolve('#root')), 'utf8')

/** Every variable as the documents must state it: name, default and accepted values. */
const variables = Object.entries<TSchema>(Environment.properties).map(([name, schema]) => ({
  name,
  fallback: schema.default === undefined ? '' : String(schema.default),
  mustBe: String(schema.mustBe),
}))

const WRONG: Record<keyof typeof Environment.properties, string[]> = {
  // Any value is tried as an address, and an empty one counts as unset.
  HOST: [],
  PORT: ['http', '-1', '65536', '80.5', '0x50 '],
  PUBLIC_URL: [
    'silo.example',
    'ftp://silo.example',
    'https://silo.example/silo',
    'https://silo.example/?x',
    'https://silo.example/#',
    'https://user@silo.example',
    'https://a.example,,https://b.example',
    'https://',
    '*',
  ],
  DATABASE_URL: ['mysql://db/silo', 'localhost'],
  SILO_DATA_DIR: [],
  SILO_ADMIN_USERNAME: ['-admin', 'the admin', 'a'.repeat(65)],
  SILO_ADMIN_PASSWORD: ['hunter2', 'x'.repeat(1025)],
  JWT_SECRET: [
    'x'.repeat(31),
    'x'.repeat(32),
    'abcdefghi'.repeat(4).slice(0, 34),
    'correct-horse-'.repeat(3),
    'abcdefg'.repeat(5),
  ],
  LOG_LEVEL: ['verbose', 'INFO'],
  TRUST_PROXY: ['1', 'true', 'example.org', '10.0.0.0/33', '10.0.0.0/', '10.0.0.1,,10.0.0.2', '::1/129'],
  READ_ONLY: ['maybe', 'yes'],
  HEARTBEAT_MS: ['99', '30s', '86400001'],
  EVENT_RETENTION_HOURS: ['0', '-1', 'week'],
  SSE_MAX_CLIENTS: ['0', '1.5', 'many'],
  SSE_MAX_CLIENTS_PER_USER: ['0', '-1', 'all'],
  SSE_MAX_CLIENTS_PER_ADDRESS: ['0', '1e3', 'all'],
  DRAIN_DELAY_MS: ['-1', '5s'],
  SHUTDOWN_TIMEOUT_MS: ['999', 'never'],
}

t.test('a wrong value is refused with its variable and what it must be, and is not shown', async (t) => {
  for (const { name, mustBe } of variables) {
    for (const value of Object.entries(WRONG).find(([wrong]) => wrong === name)?.[1] ?? []) {
      t.throws(
        () => readConfig({ [name]: value }),
        { name: 'ConfigError', message: `${name} must be ${mustBe}` },
        `${name}=${value.slice(0, 20)}`,
      )
    }
  }
  t.throws(() => readConfig({ DATABASE_URL: 'postgres://db/silo' }), {
    name: 'ConfigError',
    message: /^JWT_SECRET must be given with DATABASE_URL: a random secret of at least 32 characters/,
  })
  t.throws(() => readConfig({ DRAIN_DELAY_MS: '5000', SHUTDOWN_TIMEOUT_MS: '5000' }), {
    name: 'ConfigError',
    message: 'DRAIN_DELAY_MS must be less than SHUTDOWN_TIMEOUT_MS',
  })
})

t.test('values are converted, and an unset or empty variable has its default', async (t) => {
  t.strictSame(readConfig({}), {
    HOST: '127.0.0.1',
    PORT: 8080,
    SILO_DATA_DIR: '.silo',
    SILO_ADMIN_USERNAME: 'admin',
    LOG_LEVEL: 'info',
    PUBLIC_URL: [],
    TRUST_PROXY: [],
    READ_ONLY: false,
    HEARTBEAT_MS: 30_000,
    EVENT_RETENTION_HOURS: 168,
    SSE_MAX_CLIENTS: 10_000,
    SSE_MAX_CLIENTS_PER_USER: 1000,
    SSE_MAX_CLIENTS_PER_ADDRESS: 1000,
    DRAIN_DELAY_MS: 0,
    SHUTDOWN_TIMEOUT_MS: 10_000,
  })
  t.strictSame(readConfig(Object.fromEntries(variables.map(({ name }) => [name, '']))), readConfig({}))
  t.strictSame(readConfig({ HOME: '/root', SILO: 'x' }), readConfig({}), 'other variables are ignored')
  t.match(
    readConfig({
      PORT: '0',
      DATABASE_URL: 'postgresql://db/silo',
      JWT_SECRET: SECRET,
      PUBLIC_URL: 'https://silo.example/, http://silo.lan:8080',
      TRUST_PROXY: 'loopback, 10.0.0.0/8,fd00::/8',
      READ_ONLY: 'true',
      EVENT_RETENTION_HOURS: '0.5',
    }),
    {
      PORT: 0,
      DATABASE_URL: 'postgresql://db/silo',
      JWT_SECRET: SECRET,
      PUBLIC_URL: ['https://silo.example/', 'http://silo.lan:8080'],
      TRUST_PROXY: ['loopback', '10.0.0.0/8', 'fd00::/8'],
      READ_ONLY: true,
      EVENT_RETENTION_HOURS: 0.5,
    },
  )
})

t.test('with a wrong configuration the service exits with 1 and one line without a secret', async (t) => {
  const refusals = {
    'PORT must be a port number, 0 (any free port) to 65535': { PORT: '70000', JWT_SECRET: SECRET },
    'JWT_SECRET must be a random secret of at least 32 characters, the same on every instance': {
      JWT_SECRET: 'too-short-a-secret',
    },
    'DATABASE_URL must be a postgres:// URL; without it, an embedded PostgreSQL runs': {
      DATABASE_URL: 'mysql://silo:pass-in-url@db/silo',
      SILO_ADMIN_PASSWORD: 'pass-of-admin',
    },
  }
  for (const [line, env] of Object.entries(refusals)) {
    const service = startService(t, env)
    t.equal(await service.exit(), 1)
    t.equal(service.stderr, `silo: ${line}\n`)
    t.equal(service.stdout, '')
  }
})

t.test('docs/configuration.md and .env.example list exactly these variables', async (t) => {
  const rows = [
    ...(await read('docs/configuration.md')).matchAll(/^\| `([A-Z_]+)` \| (.+?) \| (.+?) \| (.+) \|$/gm),
  ]
  t.strictSame(
    rows.map(([, name, fallback, mustBe]) => ({ name, fallback, mustBe })),
    variables.map(({ fallback, ...rest }) => ({ ...rest, fallback: fallback ? `\`${fallback}\`` : 'none' })),
  )
  const lines = [...(await read('.env.example')).matchAll(/^#? ?([A-Z_]+)=(.*)$/gm)]
  t.strictSame(
    lines.map(([line]) => line),
    variables.map(({ name, fallback }) => `# ${name}=${fallback}`),
  )
})

import { access, readFile, stat } from 'node:fs/promises'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import t from 'tap'
import { parse } from 'yaml'
import { Environment, readConfig } from '../config.js'

const fileOf = (path: string): URL => new URL(path, import.meta.resolve('#root'))
const read = (path: string): Promise<string> => readFile(fileOf(path), 'utf8')

const Service = Type.Object({
  environment: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()]))),
  cap_drop: Type.Optional(Type.Array(Type.String())),
  security_opt: Type.Optional(Type.Array(Type.String())),
  read_only: Type.Optional(Type.Boolean()),
  mem_limit: Type.Optional(Type.String()),
  pids_limit: Type.Optional(Type.Number()),
  ports: Type.Optional(Type.Array(Type.String())),
  healthcheck: Type.Optional(Type.Object({ test: Type.Array(Type.String()) })),
  stop_grace_period: Type.Optional(Type.String()),
  depends_on: Type.Optional(Type.Record(Type.String(), Type.Object({ condition: Type.String() }))),
  volumes: Type.Optional(Type.Array(Type.String())),
})
const Compose = Type.Object({ services: Type.Record(Type.String(), Service) })

const text = await read('docker-compose.yml')
const { services } = Value.Parse(Compose, parse(text, { merge: true }))
const instances = Object.entries(services).filter(([name]) => name.startsWith('silo-'))

const SECRETS: Record<string, string> = {
  JWT_SECRET: 'a secret of at least 32 characters',
  POSTGRES_PASSWORD: 'letters-and-digits',
}

/** Returns the environment of a service as compose sets it, with the secrets filled in. */
function environmentOf({ environment = {} }: Static<typeof Service>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      String(value)
        .replace(/\$\{(\w+):\?[^}]*\}/g, (_, secret: string) => SECRETS[secret] ?? '')
        .replace(/\$\{\w+:-([^}]*)\}/g, '$1'),
    ]),
  )
}

t.test('docker-compose.yml gives each instance a valid configuration', async (t) => {
  t.strictSame(
    instances.map(([name]) => name),
    ['silo-1', 'silo-2'],
  )
  for (const [name, service] of instances) {
    const env = environmentOf(service)
    const unknown = Object.keys(env).filter((variable) => !(variable in Environment.properties))
    t.strictSame(unknown, [], `${name} has only known variables`)
    const config = readConfig(env)
    t.equal(config.HOST, '0.0.0.0')
    t.equal(config.JWT_SECRET, SECRETS.JWT_SECRET)
    t.equal(config.DATABASE_URL, 'postgres://silo:letters-and-digits@postgres:5432/silo')
    t.ok(config.TRUST_PROXY.length > 0 && text.includes(`subnet: ${config.TRUST_PROXY.join()}`))
    t.match(service.stop_grace_period, /^\d+s$/)
    t.ok(Number.parseInt(service.stop_grace_period ?? '') * 1000 > config.SHUTDOWN_TIMEOUT_MS)
    t.strictSame(service.depends_on, { postgres: { condition: 'service_healthy' } })
  }
})

t.test('docker-compose.yml contains no secret, and waits for every service', async (t) => {
  const secrets = text.split('\n').filter((line) => /(PASSWORD|SECRET|DATABASE_URL)\b.*:/.test(line))
  t.ok(secrets.length > 0)
  for (const line of secrets) t.match(line, /\$\{(JWT_SECRET|POSTGRES_PASSWORD):\?/)
  t.match(services.postgres?.healthcheck?.test, ['CMD', 'pg_isready'])
  t.ok(services.nginx?.healthcheck)
  for (const [name] of instances) {
    t.strictSame(services.nginx?.depends_on?.[name], { condition: 'service_healthy' })
  }
})

t.test('the upstream of nginx.conf has the instances of docker-compose.yml', async (t) => {
  const upstream = [...(await read('nginx.conf')).matchAll(/^ {4}server (\S+):(\d+) fail_timeout=1s;$/gm)]
  t.strictSame(
    upstream.map(([, host, port]) => [host, port]),
    instances.map(([name, service]) => [name, environmentOf(service).PORT]),
  )
  t.ok(services.nginx?.volumes?.some((volume) => volume.startsWith('./nginx.conf:')))
})

t.test('the Dockerfile copies only existing files, and every folder that the service imports', async (t) => {
  const dockerfile = await read('Dockerfile')
  const ignored = await read('.dockerignore')
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, sources]) => sources?.split(' ') ?? [],
  )
  for (const source of copied) {
    t.ok(ignored.split('\n').includes(`!${source}`), `${source} is in the build context`)
    if (!source.includes('*')) await t.resolves(access(fileOf(source)), source)
  }
  const imported = new Set<string>()
  for (const file of ['server.ts', 'app.ts']) {
    for (const [, folder] of (await read(file)).matchAll(/from '\.\/(\w+)\//g)) imported.add(folder ?? '')
  }
  for (const folder of imported) t.ok(copied.includes(folder), `${folder} is copied`)
  t.notOk(copied.includes('tools'))

  const [, run = ''] = dockerfile.split(/^FROM .*$/m).slice(-2)
  t.match(run, /^USER node$/m, 'it does not run as root')
  t.match(run, /npm ci --omit=dev --omit=optional/)
  t.match(run, /^HEALTHCHECK /m)
  const variables = [...run.matchAll(/^ENV (.+)$/gm)].flatMap(([, line]) => line?.split(' ') ?? [])
  for (const name of variables.map((variable) => variable.split('=')[0] ?? '')) {
    t.ok(name === 'NODE_ENV' || name in Environment.properties, `${name} is a known variable`)
  }
  t.doesNotThrow(() =>
    readConfig(
      Object.fromEntries(variables.map((variable) => [variable.split('=')[0] ?? '', variable.split('=')[1]])),
    ),
  )
})

t.test('.ci/run is executable and runs the tests', async (t) => {
  t.ok(((await stat(fileOf('.ci/run'))).mode & 0o111) !== 0)
  t.match(await read('.ci/run'), /^npm ci && npm test$/m)
})

t.test(
  'every container of docker-compose.yml has minimal privileges, and ports are published locally only',
  async (t) => {
    for (const [name, service] of Object.entries(services)) {
      t.strictSame(service.cap_drop, ['ALL'], name)
      t.strictSame(service.security_opt, ['no-new-privileges:true'], name)
      t.equal(service.read_only, true, name)
      t.match(service.mem_limit, /^\d+[mg]$/, name)
      t.ok(Number(service.pids_limit) > 0, name)
      for (const port of service.ports ?? []) t.match(port, /^127\.0\.0\.1:/, name)
    }
    t.ok(services.postgres?.volumes?.includes('./postgres-init.sql:/docker-entrypoint-initdb.d/silo.sql:ro'))
    t.notOk('POSTGRES_USER' in (services.postgres?.environment ?? {}), 'silo is not the superuser')
  },
)

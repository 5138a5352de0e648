import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { connect } from '../../../store/driver/connect.js'
import { migrate } from '../../../store/migrate.js'
import { fillCatalogue } from './catalogue.js'
import { type Database, startPostgres } from '../../harness/postgres.js'
import { Program } from '../../harness/program.js'
import type { Question } from './question.js'
import type { Scope } from '../../harness/scope.js'
import { startSilo } from './silo.js'
import { type Asked, askWithWrk } from './wrk.js'

const CONNECTIONS = 32
const ITEMS = 10_000
/** More numbers than any run uses. Those of the measurement follow those of the warm-up. */
const NUMBERS = 1_000_000

/** A benchmark of requests per second. */
interface Subject {
  title: string
  method: string
  asked: Asked
  /** The expected status of the response. */
  status: number
  /** The goal, as a ratio to the rate of the bare peer. */
  ratio: number
}

/**
 * Prepares a database with Silo's tables and the peer's table. Returns a function that creates copies of it.
 */
async function prepare(scope: Scope) {
  const server = await startPostgres(scope)
  const template = await server.createDatabase(scope)
  const sql = connect(template.url, 1)
  await migrate(sql)
  await sql`
    create table bench_items (
      like items including defaults including constraints including generated including indexes
    )
  `
  await sql.end()
  await fillCatalogue(template, { items: ITEMS, revisions: 1, events: ITEMS })
  return (inner: Scope) => server.createDatabase(inner, template)
}

async function startPeer(scope: Scope, file: string, args: string[], database?: Database): Promise<string> {
  const env = database ? { DATABASE_URL: database.url } : {}
  const program = await Program.node(scope, `dist/tools/bench/peers/${file}.js`, args, env)
  const [, port = ''] = await program.printed(/^port (\d+)$/m)
  return `http://127.0.0.1:${port}`
}

/**
 * Sends one request and returns the body of its response. `{n}` is the number of an existing item, or one
 * that wrk does not reach if the request creates an item.
 * @throws {Error} when the response has another status
 */
async function askOnce(
  origin: string,
  { method, path, headers = {}, body }: Asked,
  status: number,
): Promise<Buffer> {
  const one = (text: string) => text.replaceAll('{n}', body === undefined ? '0000001' : '9999999')
  const answer = await request(origin + one(path), {
    method,
    headers,
    body: body === undefined ? null : one(body),
  })
  const bytes = Buffer.from(await answer.body.arrayBuffer())
  if (answer.statusCode !== status) {
    throw new Error(`${method} ${path} failed with ${answer.statusCode}: ${bytes.toString()}`)
  }
  return bytes
}

/** Sends one request, then requests to warm up, and then those that are measured. */
async function measure(scope: Scope, origin: string, asked: Asked, status: number) {
  await askOnce(origin, asked, status)
  const connections = CONNECTIONS
  await askWithWrk(scope, origin, asked, { connections, seconds: scope.size(3, 1) })
  const first = asked.body === undefined ? 0 : NUMBERS
  const figures = await askWithWrk(scope, origin, asked, { connections, seconds: scope.size(8, 1), first })
  return { requests: figures.rate, p50: figures.p50, p99: figures.p99 }
}

/**
 * Returns a benchmark that compares the rate of a request with that of a bare peer, both measured with wrk.
 */
export function requestsQuestion({ title, method, asked, status, ratio }: Subject): Question {
  const wanted: Asked = { ...asked, numbers: asked.body === undefined ? ITEMS : NUMBERS }
  return {
    title,
    method:
      `${method} ${CONNECTIONS} connections of wrk, each with one request at a time; ` +
      `${ITEMS.toLocaleString('en')} items. ` +
      'Bare Fastify has the same driver, number of database connections and statement, and nothing else: ' +
      'no sign-in, no checks, no headers. ' +
      'The ceiling is the same wrk against a bare Node server that sends the bytes of the service’s ' +
      'response.',
    metrics: [
      { name: 'requests', unit: '/s', better: 'higher' },
      { name: 'p50', unit: 'ms', better: 'lower' },
      { name: 'p99', unit: 'ms', better: 'lower' },
    ],
    targets: [
      { metric: 'requests', side: 'Silo', goal: { ratio, to: { side: 'bare Fastify and postgres' } } },
    ],
    async sides(scope) {
      const createDatabase = await prepare(scope)
      const ofSilo = ({ authorization }: { authorization: string }): Asked => ({
        ...wanted,
        headers: { ...wanted.headers, authorization },
      })
      return [
        {
          name: 'Silo',
          async measure(inner) {
            const silo = await startSilo(inner, await createDatabase(inner))
            return measure(inner, silo.origin, ofSilo(silo), status)
          },
        },
        {
          name: 'bare Fastify and postgres',
          async measure(inner) {
            const origin = await startPeer(inner, 'bare-fastify', [], await createDatabase(inner))
            return measure(inner, origin, wanted, status)
          },
        },
        {
          name: 'ceiling of the client',
          async measure(inner) {
            const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
            inner.defer(() => rm(folder, { recursive: true }))
            const file = join(folder, 'answer')
            const silo = await startSilo(inner, await createDatabase(inner))
            await writeFile(file, await askOnce(silo.origin, ofSilo(silo), status))
            return measure(
              inner,
              await startPeer(inner, 'same-bytes', [file, String(status)]),
              wanted,
              status,
            )
          },
        },
      ]
    },
  }
}

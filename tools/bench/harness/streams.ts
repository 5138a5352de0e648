import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as openSocket } from 'node:net'
import { Pool } from 'undici'
import { eventually } from '../../harness/eventually.js'
import { freePort } from '../../harness/ports.js'
import { connect } from '../../../store/driver/connect.js'
import type { Database, DatabaseServer } from '../../harness/postgres.js'
import { Program } from '../../harness/program.js'
import { Missing } from '../../harness/missing.js'
import type { Scope } from '../../harness/scope.js'
import { type Silo, startSilo } from './silo.js'

const PUBLISHERS = 8

/** A server of event streams, Silo or a peer. */
export interface StreamServer {
  port: number
  pid: number
  /** The HTTP request that opens a stream. */
  request: string
  /** Publishes the event with this number, from 1 on. Resolves when the server has accepted it. */
  publish: (serial: number) => Promise<unknown>
}

/** Returns the item whose creation is published as the event `serial`. */
export const itemOf = (serial: number) => ({
  part_number: `BENCH-${String(serial).padStart(6, '0')}`,
  description: 'Hexagon socket head cap screw, M6 x 20, ISO 4762, steel 8.8, zinc plated',
})

/** Returns the data of Silo's event for this item, for servers without a database. */
export const dataOf = (serial: number): string => {
  const item_type = 'part'
  const at = new Date().toISOString()
  return JSON.stringify({ ...itemOf(serial), item_type, actor: 'silo', at })
}

const requestFor = (path: string, port: number, headers = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: text/event-stream\r\n${headers}\r\n`

/** Returns the HTTP request that opens a stream of Silo, with the query string `query`. */
export const siloRequest = ({ port, authorization }: Silo, query = ''): string =>
  requestFor(`/api/events${query}`, port, `Authorization: ${authorization}\r\n`)

/** The service, with a way to publish events and its database. */
export interface SiloStream extends StreamServer, Silo {
  database: Database
}

/** Starts the service on a fresh database. `publish` inserts an item over a connection of its own. */
export async function startSiloStream(scope: Scope, postgres: DatabaseServer): Promise<SiloStream> {
  const database = await postgres.createDatabase(scope)
  const silo = await startSilo(scope, database)
  const sql = connect(database.url, 1)
  scope.defer(() => sql.end({ timeout: 1 }))
  await sql`select 1`
  return {
    ...silo,
    database,
    request: siloRequest(silo),
    async publish(serial) {
      const { part_number, description } = itemOf(serial)
      await sql`insert into items (part_number, description) values (${part_number}, ${description})`
    },
  }
}

/**
 * Returns a function that sends requests over a few persistent connections and returns the body of the
 * response. It rejects for a status of 300 or above.
 */
export function openPool(scope: Scope, port: number, connections: number) {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections })
  scope.defer(() => pool.destroy())
  return async (
    method: 'GET' | 'POST',
    path: string,
    headers: Record<string, string>,
    content?: string,
  ): Promise<string> => {
    const { statusCode, body } = await pool.request({ method, path, headers, body: content ?? null })
    const text = await body.text()
    if (statusCode >= 300) throw new Error(`${method} ${path} failed with ${statusCode}: ${text}`)
    return text
  }
}

/** Imports `rows` items through the API in one request, from the item `first` on. */
export async function importRows(
  scope: Scope,
  { port, authorization }: Silo,
  rows: number,
  first = 1,
): Promise<void> {
  const send = openPool(scope, port, 1)
  const lines = Array.from({ length: rows }, (_row, index) => JSON.stringify(itemOf(first + index)))
  const headers = { authorization, 'content-type': 'application/x-ndjson' }
  await send('POST', '/api/items/import', headers, lines.join('\n'))
}

/** Returns a function that creates an item through the API. */
export function createItem(scope: Scope, { port, authorization }: Silo) {
  const send = openPool(scope, port, PUBLISHERS)
  const headers = { authorization, 'content-type': 'application/json' }
  return (serial: number) => send('POST', '/api/items', headers, JSON.stringify(itemOf(serial)))
}

/** Returns a function that publishes an event by `POST`, over `PUBLISHERS` connections. */
function publisherAt(scope: Scope, port: number, headers: Record<string, string>) {
  const send = openPool(scope, port, PUBLISHERS)
  return (serial: number) => send('POST', '/publish', headers, dataOf(serial))
}

/**
 * Starts a server of `tools/bench/peers`, in Node.
 * @throws {Missing} when the package of the peer is not installed
 */
export async function startNodeStream(
  scope: Scope,
  peer: 'bare-node' | 'better-sse' | 'fastify-sse' | 'listen',
  ...args: string[]
): Promise<StreamServer> {
  const program = await Program.node(scope, `dist/tools/bench/peers/${peer}.js`, args)
  let port: number
  try {
    port = Number((await program.printed(/^port (\d+)$/m))[1])
  } catch (err) {
    if (!program.output.includes('ERR_MODULE_NOT_FOUND')) throw err
    throw new Missing(`${peer} is not installed with npm`)
  }
  const publish = publisherAt(scope, port, { 'content-type': 'application/json' })
  return { port, pid: program.pid, request: requestFor('/events', port), publish }
}

const nchanConfiguration = (port: number, folder: string): string => `
load_module modules/ngx_nchan_module.so;
worker_processes 1;
worker_rlimit_nofile 65536;
daemon off;
pid ${folder}/pid;
error_log ${folder}/error.log warn;
events { worker_connections 20000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 1000000;
  nchan_shared_memory_size 256m;
  nchan_message_buffer_length 20000;
  nchan_message_timeout 10m;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish { nchan_publisher; nchan_channel_id bench; }
    location = /events {
      nchan_subscriber eventsource;
      nchan_subscriber_first_message newest;
      nchan_channel_id bench;
    }
  }
}
`

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = openSocket(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/**
 * Starts Debian's nginx with the Nchan module, with one worker, since the service is one process.
 * @throws {Missing} when nginx or the module is not installed
 */
export async function startNchan(scope: Scope): Promise<StreamServer> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
  scope.defer(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'nginx.conf'), nchanConfiguration(port, folder))
  const arg = ['-e', `${folder}/error.log`, '-c', join(folder, 'nginx.conf')]
  const program = await Program.start(scope, 'nginx', arg)
  await eventually('nginx with Nchan listens', () => {
    if (!program.running) throw new Missing(`nginx with Nchan does not start: ${program.output}`)
    return isListening(port)
  })
  const headers = { 'content-type': 'application/json', 'x-eventsource-event': 'item.created' }
  const publish = publisherAt(scope, port, headers)
  return { port, pid: program.pid, request: requestFor('/events', port), publish }
}

/** Starts a C program that sends the same bytes in a loop: the limit of loopback and of the subscribers. */
export async function startSender(scope: Scope, program: string, connections: number): Promise<StreamServer> {
  const sender = await Program.start(scope, program, [String(connections)])
  const port = Number((await sender.printed(/^port (\d+)$/m))[1])
  const { length } = `id: 64bd730d-100000\nevent: item.created\ndata: ${dataOf(1)}\n\n`
  return {
    port,
    pid: sender.pid,
    request: requestFor('/events', port),
    publish: async () => sender.write(`1 ${length}\n`),
  }
}

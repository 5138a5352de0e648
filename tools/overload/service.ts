import { createHash, createHmac, randomBytes } from 'node:crypto'
import { Program } from '../harness/program.js'
import type { Scope } from '../harness/scope.js'
import { freePort } from '../harness/ports.js'
import type { Sql } from '../../store/driver/connect.js'

const JWT_SECRET = randomBytes(32).toString('base64url')

/** The limits of an operator who expects many clients from one address. */
const LIMITS = {
  SSE_MAX_CLIENTS: '20000',
  SSE_MAX_CLIENTS_PER_USER: '20000',
  SSE_MAX_CLIENTS_PER_ADDRESS: '20000',
}

/** What a process uses, measured right after garbage collection; memory in bytes. */
export interface Usage {
  rss: number
  /** The JavaScript heap and the buffers outside of it. */
  used: number
  /** Processor time used since the start, in ms. */
  cpuMs: number
}

/** The built service as a process of its own. */
export class Service {
  #asked = 0

  private constructor(
    readonly program: Program,
    readonly port: number,
  ) {}

  /** Starts the service and waits until it listens, on `port` if one is given. */
  static async start(
    scope: Scope,
    databaseUrl: string,
    env: Record<string, string> = {},
    port?: number,
  ): Promise<Service> {
    const listening = port ?? (await freePort())
    const preload = new URL('dist/tools/overload/usage.js', import.meta.resolve('#root')).href
    const program = await Program.start(scope, process.execPath, ['--import', preload, 'dist/server.js'], {
      env: {
        PORT: String(listening),
        LOG_LEVEL: 'warn',
        DATABASE_URL: databaseUrl,
        JWT_SECRET,
        ...LIMITS,
        ...env,
      },
    })
    await program.printed(/^Silo is listening at/m)
    return new Service(program, listening)
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Makes the service collect garbage, and returns what it uses then. */
  async usage(): Promise<Usage> {
    const count = ++this.#asked
    process.kill(this.program.pid, 'SIGWINCH')
    const [, rss, used, cpuMs] = await this.program.printed(
      new RegExp(`^usage ${count} (\\d+) (\\d+) (\\d+)$`, 'm'),
    )
    return { rss: Number(rss), used: Number(used), cpuMs: Number(cpuMs) }
  }

  /** Returns the number of open streams. */
  async clients(): Promise<number> {
    const response = await fetch(`${this.origin}/ready`)
    const { sse_clients } = (await response.json()) as { sse_clients: number }
    return sse_clients
  }

  async kill(): Promise<void> {
    process.kill(this.program.pid, 'SIGKILL')
    await this.program.stop()
  }
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function signSession(id: string): string {
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url({ jti: id, exp: Math.floor(Date.now() / 1000) + 3600 })}`
  return `${signed}.${createHmac('sha256', JWT_SECRET).update(signed).digest('base64url')}`
}

/** Creates `count` users. Returns a credential of each, in turn a session and an API token. */
export async function createPeople(sql: Sql, count: number): Promise<string[]> {
  const secrets = Array.from({ length: count }, () => `silo_${randomBytes(32).toString('base64url')}`)
  const hashes = secrets.map((secret) => createHash('sha256').update(secret).digest('hex'))
  const people = await sql<{ place: number; session: string | null }[]>`
    with asked as (
      select hash, place, gen_random_uuid() as id, gen_random_uuid() as token
        from unnest(${hashes}::text[]) with ordinality as asked (hash, place)
    ),
    people as (
      insert into users (id, username, display_name, role, password_hash)
      select id, 'crowd-' || id, 'crowd', 'editor', 'none' from asked
    ),
    credentials as (
      insert into tokens (id, user_id, kind, name, role, hash, expires_at)
      select token, id, case place % 2 when 1 then 'session' else 'api' end, 'crowd', 'editor',
             case place % 2 when 1 then null else decode(hash, 'hex') end, now() + interval '1 hour'
        from asked
    )
    select place, case place % 2 when 1 then token end as session
      from asked
     order by place
  `
  return people.map(({ session }, i) => (session === null ? (secrets[i] ?? '') : signSession(session)))
}

import { createHmac, randomBytes } from 'node:crypto'
import { Program } from '../harness/program.js'
import type { Scope } from '../harness/scope.js'
import { freePort } from '../harness/ports.js'
import { LISTENING, MANY_CLIENTS, importing } from '../harness/service.js'
import { createTokens } from '../harness/tokens.js'
import type { Sql } from '../../store/driver/connect.js'

const JWT_SECRET = randomBytes(32).toString('base64url')

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
    const settings = {
      PORT: String(listening),
      DATABASE_URL: databaseUrl,
      JWT_SECRET,
      ...MANY_CLIENTS,
      ...env,
    }
    const program = await Program.service(scope, settings, importing([preload]))
    await program.printed(LISTENING)
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
  const payload = { jti: id, exp: Math.floor(Date.now() / 1000) + 3600 }
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(payload)}`
  return `${signed}.${createHmac('sha256', JWT_SECRET).update(signed).digest('base64url')}`
}

/** Creates `count` users. Returns a credential of each, in turn a session and an API token. */
export async function createPeople(sql: Sql, count: number): Promise<string[]> {
  const tokens = await createTokens(
    sql,
    'editor',
    Array.from({ length: count }, (_, n) => `crowd-${n}`),
  )
  const sessions = await sql<{ id: string }[]>`
    insert into tokens (user_id, kind, name, role, expires_at)
    select user_id, 'session', 'crowd', role, expires_at
      from tokens
     where id = any(${tokens.filter((_, n) => n % 2 === 0).map(({ id }) => id)}::uuid[])
    returning id
  `
  return tokens.map(({ secret }, n) => {
    const session = n % 2 === 0 ? sessions[n / 2] : undefined
    return session ? signSession(session.id) : secret
  })
}

import { createHash, randomBytes } from 'node:crypto'
import { connect } from '../../../store/driver/connect.js'
import type { Database } from '../../harness/postgres.js'
import { Program } from '../../harness/program.js'
import type { Scope } from '../../harness/scope.js'

/** One instance of the built service, with an API token of an editor. */
export interface Silo {
  port: number
  origin: string
  pid: number
  token: string
  /** The value of the header `Authorization`. */
  authorization: string
}

/** The limits of an operator who expects this many subscribers from one address. */
const LIMITS = {
  SSE_MAX_CLIENTS: '20000',
  SSE_MAX_CLIENTS_PER_USER: '20000',
  SSE_MAX_CLIENTS_PER_ADDRESS: '20000',
}

const JWT_SECRET = randomBytes(32).toString('base64url')

/** Starts the service on `database` as `npm start` would, and waits until it listens. */
export async function startSilo(
  scope: Scope,
  database: Database,
  env: Record<string, string> = {},
): Promise<Silo> {
  const program = await Program.node(scope, 'dist/server.js', [], {
    PORT: '0',
    LOG_LEVEL: 'warn',
    DATABASE_URL: database.url,
    JWT_SECRET,
    ...LIMITS,
    ...env,
  })
  const [, origin = ''] = await program.printed(/^Silo is listening at (\S+)$/m)
  const token = await createToken(database)
  const port = Number(new URL(origin).port)
  return { port, origin, pid: program.pid, token, authorization: `Bearer ${token}` }
}

async function createToken({ url }: Database): Promise<string> {
  const secret = `silo_${randomBytes(32).toString('base64url')}`
  const hash = createHash('sha256').update(secret).digest()
  const name = `bench-${randomBytes(4).toString('hex')}`
  const sql = connect(url, 1)
  await sql`
    with person as (
      insert into users (username, display_name, role, password_hash)
      values (${name}, 'Bench', 'editor', 'none')
      returning id
    )
    insert into tokens (user_id, kind, name, role, hash, expires_at)
    select id, 'api', 'bench', 'editor', ${hash}, now() + interval '1 day'
      from person
  `
  await sql.end()
  return secret
}

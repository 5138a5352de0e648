import { randomBytes } from 'node:crypto'
import { connect } from '../../../store/driver/connect.js'
import type { Database } from '../../harness/postgres.js'
import { Program } from '../../harness/program.js'
import type { Scope } from '../../harness/scope.js'
import { LISTENING, MANY_CLIENTS } from '../../harness/service.js'
import { createToken } from '../../harness/tokens.js'

/** One instance of the built service, with an API token of an editor. */
export interface Silo {
  port: number
  origin: string
  pid: number
  token: string
  /** The value of the header `Authorization`. */
  authorization: string
}

const JWT_SECRET = randomBytes(32).toString('base64url')

/** Starts the service on `database` as `npm start` would, and waits until it listens. */
export async function startSilo(
  scope: Scope,
  database: Database,
  env: Record<string, string> = {},
): Promise<Silo> {
  const program = await Program.service(scope, {
    DATABASE_URL: database.url,
    JWT_SECRET,
    ...MANY_CLIENTS,
    ...env,
  })
  const [, origin = ''] = await program.printed(LISTENING)
  const sql = connect(database.url, 1)
  const { secret: token } = await createToken(sql, 'editor')
  await sql.end()
  const port = Number(new URL(origin).port)
  return { port, origin, pid: program.pid, token, authorization: `Bearer ${token}` }
}

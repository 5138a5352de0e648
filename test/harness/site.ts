import type { Test } from 'tap'
import type { Sql } from '../../store/driver/connect.js'
import { connect } from '../../store/driver/connect.js'
import { createToken } from './app.js'
import { createDatabase } from './database.js'
import { createPerson } from './people.js'
import { type ServiceProcess, startService } from './service.js'
import { Watcher } from './watcher.js'

/** An event of the log, with its id without the epoch. */
export interface Logged {
  id: number
  type: string
  part_number: string
  data: Record<string, unknown>
}

/** A database with one editor, `mara`, for any number of service processes. */
export class Site {
  readonly #t: Test
  readonly #databaseUrl: string

  private constructor(
    t: Test,
    databaseUrl: string,
    readonly sql: Sql,
    readonly token: string,
  ) {
    this.#t = t
    this.#databaseUrl = databaseUrl
  }

  static async open(t: Test): Promise<Site> {
    const databaseUrl = await createDatabase(t)
    const sql = connect(databaseUrl, 2)
    t.teardown(() => sql.end())
    await createPerson(sql, 'mara', 'editor')
    return new Site(t, databaseUrl, sql, await createToken(sql, 'editor', 'mara'))
  }

  /** Starts a process of the service and waits until it listens. */
  async start(env: Record<string, string> = {}): Promise<{ service: ServiceProcess; origin: string }> {
    const service = startService(this.#t, {
      DATABASE_URL: this.#databaseUrl,
      JWT_SECRET: 'a secret for tests, long enough to be one',
      ...env,
    })
    return { service, origin: await service.url() }
  }

  /** Sends a request as mara. A body that is not a string is sent as JSON. */
  send(method: string, url: string, body?: unknown, type = 'application/json'): Promise<Response> {
    return fetch(url, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(body !== undefined && { 'content-type': type }) },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  }

  async watch(origin: string, lastEventId?: string): Promise<Watcher> {
    const watcher = await Watcher.open(this.#t, origin, { token: this.token, lastEventId })
    return watcher.untilSeen('server.state')
  }

  /** Reads the log from the database, in the order of its ids. */
  readLog(): Promise<Logged[]> {
    return this.sql<Logged[]>`
      select id::int, type, part_number, data
        from events
       order by id
    `
  }
}

/** The log's id of an event that a client received. */
export const logId = ({ id }: { id: string }): number => Number(id.split('-')[1])

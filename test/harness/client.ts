import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/driver/connect.js'
import { eventually } from '../../tools/harness/eventually.js'
import { createToken } from './app.js'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD'

/** Sends a request and returns the response; `json<T>()` parses its body. */
export type Send = (method: Method, url: string, more?: InjectOptions) => Promise<LightMyRequestResponse>

/** Returns a function that sends requests to the application as a user with this role. */
export async function clientAs(app: FastifyInstance, role: Role, username?: string): Promise<Send> {
  const authorization = `Bearer ${await createToken(app.db, role, username)}`
  return (method, url, more = {}) =>
    app.inject({ ...more, method, url, headers: { authorization, ...more.headers } })
}

/**
 * Reads the log from the database, in the order of its ids: type, part number, actor and the remaining data
 * of each event.
 */
export async function readEvents(sql: Sql): Promise<unknown[][]> {
  const events = await sql<{ type: string; part_number: string; actor: string; data: unknown }[]>`
    select type, part_number, data->>'actor' as actor,
           data::jsonb - array['part_number', 'actor', 'at'] as data
      from events
     order by id
  `
  return events.map(({ type, part_number, actor, data }) => [type, part_number, actor, data])
}

/** The fields in the details of an error. */
export function fieldsOf(res: LightMyRequestResponse): string[] {
  return res.json<{ details: { field: string }[] }>().details.map(({ field }) => field)
}

export function codeOf(res: LightMyRequestResponse): string {
  return res.json<{ error: string }>().error
}

/** Waits for up to 5 s until `count` connections of the database wait for a lock. */
export async function waitForWaiters(sql: Sql, count: number): Promise<void> {
  let waiting = 0
  const isWaiting = async () => {
    const rows = await sql`
      select pid
        from pg_stat_activity
       where datname = current_database()
         and wait_event_type = 'Lock'
    `
    waiting = rows.length
    return waiting >= count
  }
  await eventually(() => `${count} connections wait for a lock; ${waiting} do`, isWaiting, {
    timeoutMs: 5000,
  })
}

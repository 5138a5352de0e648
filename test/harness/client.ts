import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Role } from '../../schemas/auth.js'
import type { Sql } from '../../store/connect.js'
import { createToken } from './app.js'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD'

/** Sends a request and returns the answer; `json<T>()` reads its body. */
export type Send = (method: Method, url: string, more?: InjectOptions) => Promise<LightMyRequestResponse>

/** What a fresh user with this role sends to the application. */
export async function signIn(app: FastifyInstance, role: Role, username?: string): Promise<Send> {
  const authorization = `Bearer ${await createToken(app.db, role, username)}`
  return (method, url, more = {}) =>
    app.inject({ ...more, method, url, headers: { authorization, ...more.headers } })
}

/** The log as it is in the database: every event's type, part number, actor and data, in the order of their ids. */
export async function readEvents(sql: Sql): Promise<unknown[][]> {
  const events = await sql<{ type: string; part_number: string; actor: string; data: unknown }[]>`
    select type, part_number, actor, data
      from events
     order by id
  `
  return events.map(({ type, part_number, actor, data }) => [type, part_number, actor, data])
}

/** The fields that an error names. */
export function fieldsOf(res: LightMyRequestResponse): string[] {
  return res.json<{ details: { field: string }[] }>().details.map(({ field }) => field)
}

export function codeOf(res: LightMyRequestResponse): string {
  return res.json<{ error: string }>().error
}

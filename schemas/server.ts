import { type Static, Type } from '@sinclair/typebox'
import { Cursor } from './events.js'

export const MODES = ['normal', 'read-only', 'degraded', 'draining'] as const

/** What the server can do at the moment. */
export const Mode = Type.Unsafe<(typeof MODES)[number]>({ type: 'string', enum: [...MODES] })
export type Mode = Static<typeof Mode>

/** The modes that an admin can choose for all instances. */
export const StoredMode = Type.Unsafe<'normal' | 'read-only'>({
  type: 'string',
  enum: ['normal', 'read-only'],
})
export type StoredMode = Static<typeof StoredMode>

export const ServerState = Type.Object({ mode: Mode })
export const ServerStateChange = Type.Object({ mode: StoredMode }, { additionalProperties: false })

export const Health = Type.Object({ status: Type.Literal('ok'), mode: Mode })

export const Readiness = Type.Object({
  status: Type.Unsafe<'ok' | 'unavailable'>({ type: 'string', enum: ['ok', 'unavailable'] }),
  mode: Mode,
  database: Type.Unsafe<'ok' | 'lost'>({ type: 'string', enum: ['ok', 'lost'] }),
  sse_clients: Type.Integer({ description: 'Streams that are open on this instance' }),
  event_log: Type.Object({
    head: Cursor,
    lag_ms: Type.Integer({ description: 'For how long a visible event has been held up by one that is not' }),
  }),
})

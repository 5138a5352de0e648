import { Type } from '@sinclair/typebox'
import { Cursor } from './events.js'
import { Mode, StoredMode } from './mode.js'

/** The response of `GET /api/server/mode`. */
export const ServerStatus = Type.Object({
  mode: Mode,
  watchers: Type.Integer({ description: 'Streams that are open on all instances' }),
})
/** The body of `PUT /api/server/mode`. */
export const ServerStateChange = Type.Object(
  { mode: StoredMode },
  { additionalProperties: false, examples: [{ mode: 'normal' }] },
)

/** The response of `GET /health`. */
export const Health = Type.Object({ status: Type.Literal('ok'), mode: Mode })

/** The query of `GET /ready`. */
export const ReadyQuery = Type.Object({
  degraded: Type.Optional(
    Type.Unsafe<'ok'>({
      type: 'string',
      enum: ['ok'],
      description:
        'With `ok`, an instance that has lost its database is ready: for a load balancer that would otherwise have no instance left, and end the streams',
    }),
  ),
})

/** The response of `GET /ready`. */
export const Readiness = Type.Object({
  status: Type.Unsafe<'ok' | 'unavailable'>({ type: 'string', enum: ['ok', 'unavailable'] }),
  mode: Mode,
  database: Type.Unsafe<'ok' | 'read-only' | 'lost' | 'stalled'>({
    type: 'string',
    enum: ['ok', 'read-only', 'lost', 'stalled'],
    description:
      '`read-only`: it is a standby, its operator has made it so, or its disk is full; `stalled`: it is reached, but has answered no request for some seconds',
  }),
  sse_clients: Type.Integer({ description: 'Streams that are open on this instance' }),
  event_log: Type.Object({
    head: Cursor,
    lag_ms: Type.Integer({ description: 'For how long a visible event has been held up by one that is not' }),
  }),
})

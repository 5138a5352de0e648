import { CloneType, Type } from '@sinclair/typebox'
import { Cursor } from './events.js'
import { Mode, StoredMode } from './mode.js'

/** The response of `GET /api/server/mode`. */
export const ServerStatus = Type.Object({
  mode: Mode,
  watchers: Type.Integer({ description: 'The number of open streams on all instances.' }),
})
/** The body of `PUT /api/server/mode`. */
export const ServerStateChange = Type.Object(
  { mode: StoredMode },
  { additionalProperties: false, examples: [{ mode: 'normal' }] },
)

/** The response of `GET /health`. */
export const Health = Type.Object({
  status: Type.Literal('ok', { description: 'The process is alive.' }),
  mode: Mode,
})

/** The query of `GET /ready`. */
export const ReadyQuery = Type.Object({
  degraded: Type.Optional(
    Type.Unsafe<'ok'>({
      type: 'string',
      enum: ['ok'],
      description:
        'With `ok`, an instance whose database is unreachable counts as ready. For a load balancer that ' +
        'would otherwise have no instance left and close the streams.',
    }),
  ),
})

/** The response of `GET /ready`. */
export const Readiness = Type.Object({
  status: Type.Unsafe<'ok' | 'unavailable'>({
    type: 'string',
    enum: ['ok', 'unavailable'],
    description: 'Whether the instance should receive requests.',
  }),
  mode: Mode,
  database: Type.Unsafe<'ok' | 'read-only' | 'lost' | 'stalled'>({
    type: 'string',
    enum: ['ok', 'read-only', 'lost', 'stalled'],
    description:
      '`read-only`: it is a standby, its operator has made it read-only, or its disk is full; `lost`: it ' +
      'is unreachable; `stalled`: it is reachable, but no request has completed for some seconds.',
  }),
  sse_clients: Type.Integer({ description: 'The number of open streams on this instance.' }),
  event_log: Type.Object(
    {
      head: CloneType(Cursor, { description: 'The newest position that this instance has read.' }),
      lag_ms: Type.Integer({
        description:
          'How long an event that is visible in the log has been waiting for an earlier one that is not ' +
          'visible yet, in ms.',
      }),
    },
    { description: 'The event log, as this instance has read it.' },
  ),
})

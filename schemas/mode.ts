import { type Static, Type } from '@sinclair/typebox'

/**
 * The modes of an instance: `normal`; `read-only`, items can't be written; `degraded`, the database can't be
 * reached; `draining`, the instance is shutting down.
 */
export const MODES = ['normal', 'read-only', 'degraded', 'draining'] as const

/** The current mode of an instance. */
export const Mode = Type.Unsafe<(typeof MODES)[number]>({
  type: 'string',
  enum: [...MODES],
  description:
    'The mode of the instance. `read-only`: items can’t be written; `degraded`: the database is ' +
    'unreachable; `draining`: the instance is shutting down.',
})
export type Mode = Static<typeof Mode>

/** A mode that an admin can set for all instances. It is stored in the database. */
export const StoredMode = Type.Unsafe<'normal' | 'read-only'>({
  type: 'string',
  enum: ['normal', 'read-only'],
  description: 'The mode to set for all instances.',
})
export type StoredMode = Static<typeof StoredMode>

/** The data of a `server.state` event. */
export const ServerState = Type.Object({ mode: Mode }, { examples: [{ mode: 'normal' }] })

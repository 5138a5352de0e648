import { type Static, Type } from '@sinclair/typebox'

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

export const ServerState = Type.Object({ mode: Mode }, { examples: [{ mode: 'normal' }] })

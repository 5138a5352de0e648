import { type Static, Type } from '@sinclair/typebox'

/** What a person may do, each role including the ones before it. */
export const ROLES = ['viewer', 'editor', 'admin'] as const

export const Role = Type.Unsafe<(typeof ROLES)[number]>({ type: 'string', enum: [...ROLES] })
export type Role = Static<typeof Role>

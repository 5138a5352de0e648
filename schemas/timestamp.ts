import { Type } from '@sinclair/typebox'

/** A timestamp: a `Date` in the program, RFC 3339 in UTC with milliseconds on the wire. */
export const Timestamp = Type.Unsafe<Date>({
  type: 'string',
  format: 'date-time',
  description: 'A time in UTC, with milliseconds (RFC 3339).',
})

/** A timestamp or null, in the same form. */
export const NullableTimestamp = Type.Unsafe<Date | null>({
  type: ['string', 'null'],
  format: 'date-time',
  description: 'A time in UTC, with milliseconds (RFC 3339), or null.',
})

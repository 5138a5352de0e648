import { Type } from '@sinclair/typebox'

/** The body of every error response. `error` is the stable code, `details` name the invalid fields. */
export const ErrorBody = Type.Object({
  error: Type.String(),
  message: Type.String(),
  details: Type.Array(Type.Object({ field: Type.String(), message: Type.String() })),
})

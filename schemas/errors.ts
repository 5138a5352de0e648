import { Type } from '@sinclair/typebox'

/** The one form of every error: the code is the contract, the details name the wrong fields. */
export const ErrorBody = Type.Object({
  error: Type.String(),
  message: Type.String(),
  details: Type.Array(Type.Object({ field: Type.String(), message: Type.String() })),
})

import { Type } from '@sinclair/typebox'

export const ErrorBody = Type.Object({
  error: Type.String(),
  message: Type.String(),
  details: Type.Array(Type.Object({ field: Type.String(), message: Type.String() })),
})

import { Type } from '@sinclair/typebox'

/** The body of every error response. `error` is the stable code, `details` lists the invalid fields. */
export const ErrorBody = Type.Object({
  error: Type.String({ description: 'The code of the error. It is part of the contract.' }),
  message: Type.String({ description: 'What is wrong, for people. The wording may change.' }),
  details: Type.Array(
    Type.Object({
      field: Type.String({ description: 'The name or the path of the field, such as `properties.weight`.' }),
      message: Type.String({ description: 'Why the value is refused.' }),
    }),
    { description: 'The invalid fields of the request; empty if the error is not about a field.' },
  ),
})

import { Type } from '@sinclair/typebox'

/** The response of a redirect (303). */
export const SeeOther = Type.Null({ description: 'See `Location`.' })

/** The response to a conditional read of an unchanged representation (304). */
export const NotModified = Type.Null({ description: 'What the client holds is current.' })

export const PartPageParams = Type.Object({ part_number: Type.String({ examples: ['A01-0001'] }) })

export const WebFileParams = Type.Object({
  folder: Type.String({ examples: ['parts'] }),
  name: Type.String({ examples: ['style.css'] }),
})

export const SwaggerUiParams = Type.Object({ name: Type.String({ examples: ['swagger-ui.css'] }) })

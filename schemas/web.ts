import { Type } from '@sinclair/typebox'

/** The response of a redirect (303). */
export const SeeOther = Type.Null({ description: 'A redirect to the address in `Location`.' })

/** The response to a conditional read of an unchanged representation (304). */
export const NotModified = Type.Null({
  description: 'The representation that the client has stored is current.',
})

export const PartPageParams = Type.Object({
  part_number: Type.String({ description: 'The part number of the item.', examples: ['A01-0001'] }),
})

export const WebFileParams = Type.Object({
  folder: Type.String({ description: 'The folder of the file.', examples: ['parts'] }),
  name: Type.String({ description: 'The name of the file.', examples: ['style.css'] }),
})

export const SwaggerUiParams = Type.Object({
  name: Type.String({ description: 'The name of the file.', examples: ['swagger-ui.css'] }),
})

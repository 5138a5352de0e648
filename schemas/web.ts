import { Type } from '@sinclair/typebox'

/** An answer that only leads elsewhere. */
export const SeeOther = Type.Null({ description: 'See `Location`.' })

/** An answer that says: what you hold is current. */
export const NotModified = Type.Null({ description: 'What the client holds is current.' })

export const PartPageParams = Type.Object({ part_number: Type.String({ examples: ['A01-0001'] }) })

export const WebFileParams = Type.Object({ name: Type.String({ examples: ['style.css'] }) })

export const SwaggerUiParams = Type.Object({ name: Type.String({ examples: ['swagger-ui.css'] }) })

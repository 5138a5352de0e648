import { Type } from '@sinclair/typebox'

/** The pattern of a UUID in a cursor. */
export const UUID = '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'

/**
 * A UUID. `maxLength` excludes the form `urn:uuid:…`, which the format admits and PostgreSQL does not parse.
 */
export const Uuid = Type.String({
  format: 'uuid',
  maxLength: 36,
  description: 'A UUID, as responses contain it.',
  examples: ['01890a5d-ac96-774b-bcce-b302099a8057'],
})

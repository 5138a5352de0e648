import { Type } from '@sinclair/typebox'

/** The pattern of a UUID in a cursor. */
export const UUID = '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'

/** As long as a UUID is: the format alone admits the form `urn:uuid:…`, which PostgreSQL does not read. */
export const Uuid = Type.String({
  format: 'uuid',
  maxLength: 36,
  examples: ['01890a5d-ac96-774b-bcce-b302099a8057'],
})

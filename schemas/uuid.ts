import { Type } from '@sinclair/typebox'

/** A UUID as PostgreSQL prints it: in the cursors of lists and in the JWTs of sessions. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * A UUID. `maxLength` excludes the form `urn:uuid:…`, which the format admits and PostgreSQL does not parse.
 */
export const Uuid = Type.String({
  format: 'uuid',
  maxLength: 36,
  description: 'A UUID, as responses contain it.',
  examples: ['01890a5d-ac96-774b-bcce-b302099a8057'],
})

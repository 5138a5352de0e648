import { Type } from '@sinclair/typebox'

/** As long as a UUID is: the format alone admits the form `urn:uuid:…`, which PostgreSQL does not read. */
export const Uuid = Type.String({
  format: 'uuid',
  maxLength: 36,
  examples: ['01890a5d-ac96-774b-bcce-b302099a8057'],
})

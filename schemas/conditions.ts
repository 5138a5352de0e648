import { Type } from '@sinclair/typebox'

/**
 * The name of the format of a list of entity tags. It is checked by a parser in linear time
 * (lib/entity-tags.ts), not by a pattern, which could backtrack.
 */
export const TAG_LIST_FORMAT = 'entity-tags'

/** The header of a conditional write (RFC 9110 section 13.1.1). */
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      format: TAG_LIST_FORMAT,
      description:
        'The `ETag`s that the change may build on; refused with 412 where the item has moved on. Also as an intermediary ' +
        'has made them: weak, or with the suffix of a content coding.',
    }),
  ),
})

/** The header of a conditional read (RFC 9110 section 13.1.2). */
export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description: 'The `ETag`s that the client holds; answered with 304 where one is current.',
    }),
  ),
})

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
        'The `ETag`s of the revisions that the change may apply to; 412 if the item has another revision ' +
        'by now. An `ETag` that an intermediary has changed is accepted: weak, or with the suffix of a ' +
        'content coding.',
    }),
  ),
})

/** The header of a conditional read (RFC 9110 section 13.1.2). */
export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description:
        'The `ETag`s of the representations that the client has stored; 304 if one of them is current.',
    }),
  ),
})

import { Type } from '@sinclair/typebox'

/** The format of a list of entity tags (lib/entity-tags.ts), checked without a pattern: none of them backtracks. */
export const TAG_LIST_FORMAT = 'entity-tags'

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

export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({
      description: 'The `ETag`s that the client holds; answered with 304 where one is current.',
    }),
  ),
})

import { type Static, Type } from '@sinclair/typebox'
import { BOUNDS } from './bounds.js'
import { Cursor, NextCursor, PageSize } from './cursor.js'
import { Comment, Content, ITEM_FIELDS, Item, PartNumber } from './items.js'
import { Timestamp } from './timestamp.js'

/** A revision: the complete content of an item after one of its changes. */
export const Revision = Type.Object({
  part_number: PartNumber,
  revision_number: Item.properties.revision,
  ...ITEM_FIELDS,
  comment: Comment,
  created_at: Timestamp,
  created_by: Type.String({
    description: 'The username of the author; for a change in SQL, the database role.',
  }),
})
export type Revision = Static<typeof Revision>

/** The body of `POST /api/items/:part_number/revisions`. */
export const NewRevision = Type.Object(
  {
    comment: Type.String({
      minLength: 1,
      maxLength: BOUNDS.comment,
      format: 'text',
      description: 'Why the revision was created.',
    }),
    ...Content.properties,
  },
  { additionalProperties: false, examples: [{ comment: 'Released for production' }] },
)

/** The path parameters of `GET /api/items/:part_number/revisions/:revision_number`. */
export const RevisionParams = Type.Object({
  part_number: PartNumber,
  revision_number: Type.Integer({
    minimum: 1,
    maximum: 2_147_483_647,
    description: 'The number of the revision.',
    examples: [1],
  }),
})

/** The query of `GET /api/items/:part_number/revisions`. */
export const RevisionQuery = Type.Object(
  { limit: PageSize, cursor: Type.Optional(Cursor) },
  { additionalProperties: false },
)

/** The content of a cursor of the list of revisions: the last revision of the page. */
export const RevisionPosition = Type.Object({
  revision_number: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
})

/** The response of `GET /api/items/:part_number/revisions`. */
export const RevisionPage = Type.Object({
  revisions: Type.Array(Revision, { description: 'The revisions of the page, newest first.' }),
  next_cursor: NextCursor,
})

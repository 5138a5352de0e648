import { type Static, Type } from '@sinclair/typebox'
import { BOUNDS } from './bounds.js'
import { Cursor, NextCursor, PageSize } from './cursor.js'
import { Properties } from './properties.js'
import { Timestamp } from './timestamp.js'
import { UUID, Uuid } from './uuid.js'

/** The pattern of a part number. */
export const PART_NUMBER = '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'

export const PartNumber = Type.String({
  pattern: PART_NUMBER,
  description:
    '1 to 64 letters, digits, ".", "_" or "-", the first a letter or digit. Case is preserved, but not ' +
    'distinguished.',
  examples: ['A01-0001'],
})
const Category = Type.String({
  pattern: `^[A-Za-z0-9][A-Za-z0-9._]{0,${BOUNDS.category - 1}}$`,
  description: 'Assigns the next free part number of this category: "A01" results in "A01-0001".',
})

export const ItemType = Type.Unsafe<'part' | 'assembly' | 'drawing' | 'document' | 'tool' | 'consumable'>({
  type: 'string',
  enum: ['part', 'assembly', 'drawing', 'document', 'tool', 'consumable'],
  description: 'The kind of item.',
})
export const SourcingType = Type.Unsafe<'manufactured' | 'purchased' | null>({
  type: ['string', 'null'],
  enum: ['manufactured', 'purchased', null],
  description: 'Whether the item is made in-house or bought; null if not specified.',
})
export const Comment = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  maxLength: BOUNDS.comment,
  format: 'text',
  description: 'Why the item was changed; null if no comment was given.',
})

/**
 * The fields of an item that clients write, with their schemas. The columns of the statements, those of CSV
 * files and the fields of a revision are derived from them.
 */
export const ITEM_FIELDS = {
  item_type: ItemType,
  description: Type.String({
    maxLength: BOUNDS.description,
    format: 'text',
    description: 'The name of the item, in one line.',
  }),
  long_description: Type.String({
    maxLength: BOUNDS.long_description,
    format: 'text',
    description: 'Everything about the item that does not fit into `description`.',
  }),
  sourcing_type: SourcingType,
  properties: Properties,
}

/**
 * The fields of an item that clients write. A field that is left out stays unchanged, or is empty in a new
 * item.
 */
export const Content = Type.Partial(Type.Object(ITEM_FIELDS), { additionalProperties: false })
export type Content = Static<typeof Content>

/** The name of a field of an item that clients write. */
export type ItemField = keyof typeof ITEM_FIELDS

const isItemField = (name: string): name is ItemField => Object.hasOwn(ITEM_FIELDS, name)

/** The names of the fields of an item that clients write, in order. */
export const ITEM_FIELD_NAMES: readonly ItemField[] = Object.keys(ITEM_FIELDS).filter(isItemField)

/**
 * The values that fields have in a new item where none is given. The columns have the same defaults, for
 * writes in SQL.
 */
export const INITIAL_CONTENT: Required<Content> = {
  item_type: 'part',
  description: '',
  long_description: '',
  sourcing_type: null,
  properties: {},
}

const ITEM = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  part_number: 'A01-0001',
  item_type: 'assembly',
  description: 'Winding unit, reinforced',
  long_description: '',
  sourcing_type: 'manufactured',
  properties: { mass_kg: 4.6 },
  revision: 2,
  created_at: '2026-11-24T04:12:18.513Z',
  created_by: 'mara',
  updated_at: '2026-11-24T04:12:18.583Z',
  updated_by: 'mara',
}

/** An item, as responses contain it. */
export const Item = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: 'The id of the item. It never changes.' }),
    part_number: PartNumber,
    ...ITEM_FIELDS,
    revision: Type.Integer({
      minimum: 1,
      description: 'The number of the current revision. Every change increases it by 1.',
    }),
    created_at: Timestamp,
    created_by: Type.String({
      description: 'The username of the author; for a change in SQL, the database role.',
    }),
    updated_at: Timestamp,
    updated_by: Type.String({ description: 'The author of the last change.' }),
  },
  { examples: [ITEM] },
)
export type Item = Static<typeof Item>

/** The body of `POST /api/items`. */
export const NewItem = Type.Object(
  {
    part_number: Type.Optional(PartNumber),
    category: Type.Optional(Category),
    ...Content.properties,
    comment: Type.Optional(Comment),
  },
  {
    additionalProperties: false,
    description: 'With either `part_number` or `category`.',
    examples: [
      {
        category: 'A01',
        description: 'Winding unit',
        item_type: 'assembly',
        properties: { mass_kg: 4.2 },
        comment: 'First draft',
      },
    ],
  },
)
export type NewItem = Static<typeof NewItem>

/** The body of `PUT /api/items/:part_number`: the fields to change. */
export const ItemChange = Type.Object(
  { part_number: Type.Optional(PartNumber), ...Content.properties, comment: Type.Optional(Comment) },
  {
    additionalProperties: false,
    examples: [
      {
        description: 'Winding unit, reinforced',
        properties: { mass_kg: 4.6 },
        comment: 'Cracked at the belt clamp',
      },
    ],
  },
)

/** The path parameters of the routes of an item. */
export const ItemParams = Type.Object({ part_number: PartNumber })
/** The path parameters of `GET /api/items/by-uuid/:id`. */
export const ItemIdParams = Type.Object({ id: Uuid })

const SORTS = [
  'part_number',
  '-part_number',
  'updated_at',
  '-updated_at',
  'created_at',
  '-created_at',
] as const

/** Maximum number of words in a search: a word that no index serves is compared with every item. */
export const MAX_SEARCH_WORDS = 8

/** The query parameters that select and order items. */
export const ItemFilter = Type.Object(
  {
    search: Type.Optional(
      Type.String({
        maxLength: 200,
        format: 'text',
        description:
          `At most ${MAX_SEARCH_WORDS} words. Each must occur in the part number or the description, which ` +
          'includes parts of words.',
      }),
    ),
    item_type: Type.Optional(
      Type.Array(ItemType, { maxItems: 6, description: 'Only items of these types; can be repeated.' }),
    ),
    updated_since: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'Only items that were changed at this time or later.',
      }),
    ),
    sort: Type.Unsafe<(typeof SORTS)[number]>({
      type: 'string',
      enum: [...SORTS],
      default: 'part_number',
      description: 'The order of the items. A leading "-" means descending.',
    }),
  },
  { additionalProperties: false },
)
export type Sort = Static<typeof ItemFilter>['sort']

/** How a CSV file writes texts that a spreadsheet would interpret as formulas (docs/decisions/0034). */
const Formulas = Type.Unsafe<'escaped' | 'plain'>({
  type: 'string',
  enum: ['escaped', 'plain'],
  default: 'escaped',
  description:
    'For CSV only. "escaped" prefixes an apostrophe to each text that a spreadsheet would evaluate as a ' +
    'formula; an import removes it. "plain" writes texts unchanged, for programs other than spreadsheets.',
})
export type Formulas = Static<typeof Formulas>

/** The query of `GET /api/items`. */
export const ItemQuery = Type.Object(
  { ...ItemFilter.properties, limit: PageSize, cursor: Type.Optional(Cursor), formulas: Formulas },
  { additionalProperties: false },
)

/**
 * The content of a cursor of the list of items: the order of the list, and the sort key of the last item of
 * the page. Times are in ms since 1970.
 */
export const ItemPosition = Type.Union([
  Type.Object({
    sort: Type.Union([Type.Literal('part_number'), Type.Literal('-part_number')]),
    part_number: Type.String({ pattern: PART_NUMBER }),
  }),
  Type.Object({
    sort: Type.Union(
      (['updated_at', '-updated_at', 'created_at', '-created_at'] as const).map((sort) => Type.Literal(sort)),
    ),
    at: Type.Integer({ minimum: 0, maximum: 253_402_300_799_999 }),
    id: Type.String({ pattern: UUID.source }),
  }),
])
export type ItemPosition = Static<typeof ItemPosition>

/** The JSON response of `GET /api/items`. */
export const ItemPage = Type.Object({
  items: Type.Array(Item, { description: 'The items of the page, in the requested order.' }),
  next_cursor: NextCursor,
  event_cursor: Type.String({
    description:
      'The position of the feed to continue from (`since`), so that no change after this list is missed.',
  }),
})

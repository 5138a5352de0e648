import { type Static, type TObject, Type } from '@sinclair/typebox'
import { Comment, ItemType, PartNumber } from './items.js'
import { ServerState } from './mode.js'
import { Timestamp } from './timestamp.js'

/** What can stand in the log. */
export const EVENT_TYPES = ['item.created', 'item.updated', 'item.deleted', 'revision.created'] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** A position in the event log: everything up to and including the event `id` has been seen. */
export interface Position {
  /** Drawn at commit. Ids ascend, but become visible in another order and may be missing for good. */
  readonly id: number
  /** Computed from the event itself, so that an event of another history with the same id is told from it (lib/check.ts). */
  readonly check: string
}

/** An event as the log holds it. */
export interface LoggedEvent extends Position {
  type: EventType
  part_number: string
  /** The JSON object that goes out, in UTF-8. */
  data: Uint8Array
}

/** What the log was at the moment of reading it. */
export interface LogState {
  /** Names the log: cursors of another epoch mean nothing here. */
  epoch: string
  /** Retention has deleted everything up to and including this position. */
  prunedTo: Position
}

/** Consecutive events of the log. */
export interface LogPage extends LogState {
  /** The newest event at or before the place where reading began, or `prunedTo`: a reader that stands elsewhere has read another history. */
  anchor: Position
  events: LoggedEvent[]
  /** Whether the page ends before the last event that was wanted, because it has reached its bound of bytes. */
  isCut: boolean
}

export const Cursor = Type.String({
  description:
    'A position in the event log, `<epoch>-<id>-<check>`: the log, the event, and what tells this event from another one with the same id. ' +
    'Clients keep it as it is.',
  examples: ['64bd730d-118-8f3a90c2'],
})

const part_number = PartNumber
const by = {
  actor: Type.String({
    description: 'The username of whoever did it, or the database’s role where it was done in SQL',
  }),
  at: Timestamp,
}

const BY_MARA = { actor: 'mara', at: '2026-11-24T04:12:18.583Z' }

/** The data of every event of the feed, by its type: first what stands in the log, then what only streams say. */
export const EVENT_DATA = {
  'item.created': Type.Object(
    { part_number, description: Type.String(), item_type: ItemType, ...by },
    {
      description: 'An item was created.',
      examples: [{ part_number: 'A01-0001', description: 'Winding unit', item_type: 'assembly', ...BY_MARA }],
    },
  ),
  'item.updated': Type.Object(
    { part_number, revision: Type.Integer({ minimum: 2 }), ...by },
    {
      description: 'An item was changed; `revision` is what it is at now.',
      examples: [{ part_number: 'A01-0001', revision: 2, ...BY_MARA }],
    },
  ),
  'item.deleted': Type.Object(
    { part_number, ...by },
    { description: 'An item was archived.', examples: [{ part_number: 'A01-0001', ...BY_MARA }] },
  ),
  'revision.created': Type.Object(
    { part_number, revision_number: Type.Integer({ minimum: 2 }), comment: Comment, ...by },
    {
      description: 'The revision of a change. Follows its `item.updated`, with the same number.',
      examples: [
        { part_number: 'A01-0001', revision_number: 2, comment: 'Cracked at the belt clamp', ...BY_MARA },
      ],
    },
  ),
  'server.state': Type.Object(ServerState.properties, {
    ...ServerState,
    description: 'What the server can do: on connecting, and at each change.',
  }),
  heartbeat: Type.Object(
    {},
    {
      description: 'Nothing happened, and the connection lives. Its id is the position to keep.',
      examples: [{}],
    },
  ),
  reset: Type.Object(
    {
      reason: Type.Union([Type.Literal('expired'), Type.Literal('unknown')]),
      oldest: Cursor,
      head: Cursor,
    },
    {
      description:
        'The log can’t be continued from the cursor that was sent: too old (`expired`), or none of this log (`unknown`). ' +
        'Read again what you show; the stream goes on from `head`.',
      examples: [{ reason: 'expired', oldest: '64bd730d-100-51c0be7e', head: '64bd730d-118-8f3a90c2' }],
    },
  ),
} satisfies Record<EventType | 'server.state' | 'heartbeat' | 'reset', TObject>

export type FeedEventType = keyof typeof EVENT_DATA

/** How many part numbers and beginnings of them one filter takes. */
export const MAX_PATTERNS = 100
/** How long a JSON page may be held back, in seconds. */
export const MAX_WAIT_S = 60

/** Parameters it does not know are left alone: polyfills of EventSource add their own. */
export const EventQuery = Type.Object({
  since: Type.Optional(
    Type.String({
      description:
        'The id of the last event that was dealt with, or `earliest` for all that is kept. Without it a stream begins now, ' +
        'and a page with the oldest event. The header `Last-Event-ID` comes before it, and so does `lastEventId`.',
      examples: ['earliest'],
    }),
  ),
  lastEventId: Type.Optional(
    Type.String({ description: 'As `since`, for polyfills, which keep it current; comes before it' }),
  ),
  last_event_id: Type.Optional(Type.String({ description: 'As `lastEventId`' })),
  types: Type.Optional(
    Type.Array(Type.String(), {
      description: `Only these, comma-separated: ${EVENT_TYPES.join(', ')}`,
    }),
  ),
  part_number: Type.Optional(
    Type.Array(Type.String(), {
      description: 'Only these items, comma-separated; `A01-*` for all that begin so',
    }),
  ),
  limit: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 100,
    description: 'JSON pages: events a page, at most. A page ends earlier where its events come to 1 MiB',
  }),
  last: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description:
        'JSON pages: the newest ones, instead of `since`; fewer where they come to more than 1 MiB',
    }),
  ),
  wait: Type.Integer({
    minimum: 0,
    maximum: MAX_WAIT_S,
    default: 0,
    description: 'JSON pages: hold an empty answer until something comes, for at most so many seconds',
  }),
})
export type EventQuery = Static<typeof EventQuery>

export const LastEventId = Type.Object({
  'last-event-id': Type.Optional(Type.String({ description: 'As `since`; a browser sends it by itself' })),
})

/** An event as pages show it. Of what only streams say, a page tells `reset` alone. */
const PagedEvent = Type.Unsafe<{ id: string; type: string; data: unknown }>(
  Type.Union(
    ([...EVENT_TYPES, 'reset'] as const).map((type) =>
      Type.Object({ id: Cursor, type: Type.Literal(type), data: EVENT_DATA[type] }, { title: type }),
    ),
  ),
)

export const EventPage = Type.Object(
  {
    events: Type.Array(PagedEvent),
    next: Type.String({ description: 'Where the next page begins: send it as `since`' }),
    head: Type.String({
      description: 'Where the log stands; the page was the last one when `next` equals it',
    }),
  },
  { description: 'A page of the event log' },
)

import { type Static, type TObject, Type } from '@sinclair/typebox'
import { Comment, ItemType, PartNumber } from './items.js'
import { ServerState } from './mode.js'
import { Timestamp } from './timestamp.js'

/** The types of the events in the log. */
export const EVENT_TYPES = ['item.created', 'item.updated', 'item.deleted', 'revision.created'] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** A position in the event log: everything up to and including the event `id` has been seen. */
export interface Position {
  /** Drawn during the commit. Ids ascend, but may become visible in another order, and some never exist. */
  readonly id: number
  /**
   * A checksum of the event (lib/check.ts). It distinguishes the event from another one with the same id,
   * which the log can have after a restore or a failover (docs/decisions/0019).
   */
  readonly check: string
}

/** An event as it is stored in the log. */
export interface LoggedEvent extends Position {
  type: EventType
  part_number: string
  /** The JSON object that clients receive, in UTF-8. */
  data: Uint8Array
}

/** The state of the log in the snapshot in which it was read. */
export interface LogState {
  /** Identifies the log. A cursor with another epoch is no position in it. */
  epoch: string
  /** Retention has deleted the events up to and including this position. */
  prunedTo: Position
}

/** Consecutive events of the log. */
export interface LogPage extends LogState {
  /**
   * The newest event at or before the id after which the page begins, or `prunedTo` if there is none. If it
   * differs from the reader's own position, the log was replaced after the reader's last read.
   */
  anchor: Position
  events: LoggedEvent[]
  /**
   * Whether the page ends before the last event of the requested range, because it reached its limit of
   * bytes.
   */
  isCut: boolean
}

/** A position in the event log, as a string: see feed/cursor.ts. */
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

/**
 * The schemas of the data of all events of the feed, by type: first the events of the log, then those that
 * the service adds.
 */
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

/** The types of all events of the feed: those of the log, and those that the service adds. */
export type FeedEventType = keyof typeof EVENT_DATA

/** Maximum number of part numbers and prefixes in a filter. */
export const MAX_PATTERNS = 100
/** Maximum time that a long poll waits for events, in seconds. */
export const MAX_WAIT_S = 60

/**
 * The query of `GET /api/events`. Unknown parameters are ignored, because polyfills of `EventSource` add
 * their own.
 */
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

/** The header by which a browser's `EventSource` resumes (WHATWG HTML, section 9.2). */
export const LastEventId = Type.Object({
  'last-event-id': Type.Optional(Type.String({ description: 'As `since`; a browser sends it by itself' })),
})

/** An event of a JSON page: one of the log, or a `reset`. Pages have no `server.state` and no `heartbeat`. */
const PagedEvent = Type.Unsafe<{ id: string; type: string; data: unknown }>(
  Type.Union(
    ([...EVENT_TYPES, 'reset'] as const).map((type) =>
      Type.Object({ id: Cursor, type: Type.Literal(type), data: EVENT_DATA[type] }, { title: type }),
    ),
  ),
)

/** The JSON response of `GET /api/events`. */
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

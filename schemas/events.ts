import { CloneType, type Static, type TObject, Type } from '@sinclair/typebox'
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
  /** Identifies the log. A cursor with another epoch is not a position in it. */
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
  isTruncated: boolean
}

/** A position in the event log, as a string: see feed/cursor.ts. */
export const Cursor = Type.String({
  description:
    'A position in the event log, `<epoch>-<id>-<check>`: the log, the event, and a checksum that ' +
    'distinguishes the event from another one with the same id. Opaque to clients: store it and send it ' +
    'unchanged.',
  examples: ['64bd730d-118-8f3a90c2'],
})

const part_number = PartNumber
const by = {
  actor: Type.String({
    description: 'The username of the author; for a change in SQL, the database role.',
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
    {
      part_number,
      description: Type.String({ description: 'The description of the item.' }),
      item_type: ItemType,
      ...by,
    },
    {
      description: 'An item was created.',
      examples: [{ part_number: 'A01-0001', description: 'Winding unit', item_type: 'assembly', ...BY_MARA }],
    },
  ),
  'item.updated': Type.Object(
    {
      part_number,
      revision: Type.Integer({ minimum: 2, description: 'The revision that the change created.' }),
      ...by,
    },
    {
      description: 'An item was changed; `revision` is its new revision.',
      examples: [{ part_number: 'A01-0001', revision: 2, ...BY_MARA }],
    },
  ),
  'item.deleted': Type.Object(
    { part_number, ...by },
    { description: 'An item was archived.', examples: [{ part_number: 'A01-0001', ...BY_MARA }] },
  ),
  'revision.created': Type.Object(
    {
      part_number,
      revision_number: Type.Integer({ minimum: 2, description: 'The number of the revision.' }),
      comment: Comment,
      ...by,
    },
    {
      description: 'A change created a revision. Follows its `item.updated`, with the same number.',
      examples: [
        { part_number: 'A01-0001', revision_number: 2, comment: 'Cracked at the belt clamp', ...BY_MARA },
      ],
    },
  ),
  'server.state': Type.Object(ServerState.properties, {
    ...ServerState,
    description: 'The mode of the instance. Sent when a stream opens, and at each change.',
  }),
  heartbeat: Type.Object(
    {},
    {
      description: 'The connection is alive. The id is the current position in the log.',
      examples: [{}],
    },
  ),
  reset: Type.Object(
    {
      reason: Type.Union([Type.Literal('expired'), Type.Literal('unknown')], {
        description:
          '`expired`: the events after the cursor are no longer stored; `unknown`: the cursor is not one ' +
          'of this log.',
      }),
      oldest: CloneType(Cursor, { description: 'The position before the oldest event that is stored.' }),
      head: CloneType(Cursor, { description: 'The position from which the stream continues.' }),
    },
    {
      description:
        'The stream can’t continue from the cursor that the client sent: it is too old (`expired`) or not ' +
        'of this log (`unknown`). Read the items again; the stream continues from `head`.',
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
        'The id of the last event that the client has processed, or `earliest` for all stored events. ' +
        'Without it a stream begins now, and a page with the oldest event. The header `Last-Event-ID` and ' +
        '`lastEventId` take precedence.',
      examples: ['earliest'],
    }),
  ),
  lastEventId: Type.Optional(
    Type.String({
      description:
        'Same as `since`, for polyfills of `EventSource`, which keep it current; takes precedence over it.',
    }),
  ),
  last_event_id: Type.Optional(Type.String({ description: 'Same as `lastEventId`.' })),
  types: Type.Optional(
    Type.Array(Type.String(), {
      description: `Only events of these types, comma-separated: ${EVENT_TYPES.join(', ')}.`,
    }),
  ),
  part_number: Type.Optional(
    Type.Array(Type.String(), {
      description: `Only events of these items, comma-separated, max ${MAX_PATTERNS}; \`A01-*\` is a prefix.`,
    }),
  ),
  limit: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 100,
    description: 'JSON pages: the maximum number of events. A page whose events exceed 1 MiB ends earlier.',
  }),
  last: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description: 'JSON pages: the newest events, instead of `since`; fewer if they exceed 1 MiB.',
    }),
  ),
  wait: Type.Integer({
    minimum: 0,
    maximum: MAX_WAIT_S,
    default: 0,
    description: 'JSON pages: how long to wait for an event if there is none, in seconds.',
  }),
})
export type EventQuery = Static<typeof EventQuery>

/** The header by which a browser's `EventSource` resumes (WHATWG HTML, section 9.2). */
export const LastEventId = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'Same as `since`; a browser sends it by itself when it reconnects.' }),
  ),
})

/** An event of a JSON page: one of the log, or a `reset`. Pages have no `server.state` and no `heartbeat`. */
const PagedEvent = Type.Unsafe<{ id: string; type: string; data: unknown }>(
  Type.Union(
    ([...EVENT_TYPES, 'reset'] as const).map((type) =>
      Type.Object(
        {
          id: Cursor,
          type: Type.Literal(type, { description: 'The type of the event.' }),
          data: EVENT_DATA[type],
        },
        { title: type },
      ),
    ),
  ),
)

/** The JSON response of `GET /api/events`. */
export const EventPage = Type.Object(
  {
    events: Type.Array(PagedEvent, { description: 'The events, in the order of the log.' }),
    next: Type.String({ description: 'The position after the page: send it as `since` for the next one.' }),
    head: Type.String({
      description: 'The newest position of the log; equal to `next` on the last page.',
    }),
  },
  { description: 'A page of the event log.' },
)

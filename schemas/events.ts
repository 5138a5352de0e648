import { Type } from '@sinclair/typebox'

/** What can stand in the log. */
export const EVENT_TYPES = ['item.created', 'item.updated', 'item.deleted', 'revision.created'] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** An event as the log holds it. `data` lacks what the columns say; on the wire they are one object. */
export interface LoggedEvent {
  /** Drawn at commit. Ids ascend, but become visible in another order and may be missing for good. */
  id: number
  type: EventType
  part_number: string
  data: Record<string, unknown>
  actor: string
  at: Date
}

/** A page of the log, and what the log was at the moment of reading it. */
export interface LogPage {
  /** Names this history of the log; ids of another one mean nothing here. */
  epoch: string
  /** Retention has deleted everything up to and including this id. */
  prunedTo: number
  events: LoggedEvent[]
}

export const Cursor = Type.String({
  description: 'A position in the event log, `<epoch>-<id>`',
  examples: ['64bd730d-118'],
})

export const EventPage = Type.Object(
  {
    events: Type.Array(
      Type.Object({
        id: Cursor,
        type: Type.String(),
        data: Type.Unknown(),
      }),
    ),
    next: Type.String({ description: 'Where the next page begins: send it as `since`' }),
    head: Type.String({
      description: 'Where the log stands; the page was the last one when `next` equals it',
    }),
  },
  { description: 'A page of the event log' },
)

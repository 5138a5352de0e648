import { Agent, EventSource, MessageEvent } from 'undici'

const TYPES = [
  'item.created',
  'item.updated',
  'item.deleted',
  'revision.created',
  'server.state',
  'heartbeat',
  'reset',
]

export interface FeedEvent {
  /** Where the stream stands after this event: what to send as `since` to go on from here. */
  id: string
  type: string
  data: unknown
}

/**
 * Follows the feed of the Silo at `url` until the source that is returned is closed. It connects again by itself, and then
 * goes on after the last event; it stops only where the token no longer holds (`readyState` is then CLOSED).
 * @param since an id that was kept from an earlier run; without one the feed begins now
 */
export function follow(
  url: string,
  token: string,
  onEvent: (event: FeedEvent) => void,
  since?: string,
): EventSource {
  const feed = new URL('/api/events', url)
  if (since !== undefined) feed.searchParams.set('since', since)

  // An EventSource takes no headers, but the dispatcher below it does.
  const dispatcher = new Agent().compose(
    (dispatch) => (options, handler) =>
      dispatch(
        { ...options, headers: Object.assign({ authorization: `Bearer ${token}` }, options.headers) },
        handler,
      ),
  )
  const source = new EventSource(feed, { node: { dispatcher } })
  for (const type of TYPES) {
    source.addEventListener(type, (event) => {
      if (event instanceof MessageEvent) {
        onEvent({ id: event.lastEventId, type, data: JSON.parse(String(event.data)) })
      }
    })
  }
  return source
}

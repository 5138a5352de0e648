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

/** An event of the feed, with its data parsed. */
export interface FeedEvent {
  /** The position of the stream after this event: send it as `since` to resume from here. */
  id: string
  type: string
  data: unknown
}

/**
 * Follows the feed of the Silo at `url` until the returned source is closed. It reconnects by itself and
 * resumes after the last event. It stops only if the token is no longer valid (`readyState` is then CLOSED).
 * @param since the last id of an earlier run; without it, the stream begins with the next event
 */
export function follow(
  url: string,
  token: string,
  onEvent: (event: FeedEvent) => void,
  since?: string,
): EventSource {
  const feed = new URL('/api/events', url)
  if (since !== undefined) feed.searchParams.set('since', since)

  // An EventSource has no option for headers, so the dispatcher adds the token to each request.
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

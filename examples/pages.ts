import { setTimeout as delay } from 'node:timers/promises'
import type { FeedEvent } from './follow.js'

/** A page of the log, as the API returns it. */
export interface Page {
  events: FeedEvent[]
  /** The position after this page: store it once the events are processed, and send it as `since`. */
  next: string
  /** The position of the newest event in the log: equal to `next` if there are no more events. */
  head: string
}

async function readPage(url: string, token: string, since: string, signal: AbortSignal): Promise<Page> {
  const feed = new URL('/api/events', url)
  feed.search = new URLSearchParams({ since, limit: '500', wait: '25' }).toString()
  const response = await fetch(feed, {
    headers: { accept: 'application/json', authorization: `Bearer ${token}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
  })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  return (await response.json()) as Page
}

/**
 * Yields the events of the log of the Silo at `url` after `since`, page by page: at once those that exist,
 * then new ones as they are committed. Ends when `signal` is aborted. A request that fails is repeated with
 * exponential backoff from 1 s to 60 s. Store `next` once a page is processed, in the same transaction if
 * there is one: then each event is processed exactly once, even if the program or the server is restarted.
 *
 * An event of type `reset` means that the log can't be continued from `since`: read all items again.
 */
export async function* pages(
  url: string,
  token: string,
  since: string,
  signal: AbortSignal,
): AsyncGenerator<Page> {
  let failures = 0
  for (;;) {
    try {
      const page = await readPage(url, token, since, signal)
      failures = 0
      since = page.next
      if (page.events.length > 0) yield page
    } catch (error) {
      if (signal.aborted) return
      console.error(String(error))
      await delay(Math.min(1000 * 2 ** failures++, 60_000), undefined, { signal }).catch(() => undefined)
    }
  }
}

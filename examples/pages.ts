import { setTimeout as delay } from 'node:timers/promises'
import type { FeedEvent } from './follow.js'

export interface Page {
  events: FeedEvent[]
  /** What to keep once the events are dealt with, and to send as `since`. */
  next: string
  /** Where the log stands: equal to `next` when there is nothing more. */
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
 * The log of the Silo at `url`, page by page, for as long as `signal` lets it: what is there after `since` at once, what comes
 * as it comes. An answer that fails is asked for again, after a second and then ever more slowly. Keep `next` when a page has
 * been dealt with, in the same transaction if there is one: then each event counts once, whatever ends when.
 *
 * An event of type `reset` says that the log can't be continued from `since`: read all items again.
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

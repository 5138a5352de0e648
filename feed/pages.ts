import { LRUCache } from 'lru-cache'
import type { LogPage } from '../schemas/events.js'
import { encodeEntries, lengthOf } from './frame.js'
import { Segment } from './segment.js'
import type { Slices } from './slices.js'

/**
 * Maximum number of ids in a page. Pages begin at its multiples, so that clients which replay from different
 * cursors share them.
 */
const PAGE_SPAN = 1024
/** Number of pages to prefetch: one to encode and write next, and one that is read from the log meanwhile. */
const READ_AHEAD = 2
/** Maximum total size of the cached pages, in bytes. */
const CACHE_BYTES = 32 * 1024 * 1024

/**
 * Reads events with `after < id <= upTo` in order of id: at most `limit`, and no more than fit the size of a
 * page.
 */
export type ReadLog = (after: number, upTo: number, limit: number) => Promise<LogPage>

/** Approximate memory of an entry without its frame, in bytes. */
const OVERHEAD_BYTES = 128

function bytesOf(page: Segment): number {
  let sum = OVERHEAD_BYTES
  for (const entry of page.after(page.floor)) sum += lengthOf(entry) + OVERHEAD_BYTES
  return sum
}

/**
 * Reads events below the ring from the log, in pages that are cached: each page is read once for all
 * connections that need it at the same time.
 */
export class Pages {
  readonly #cache: LRUCache<string, Segment, Bounds>
  readonly #onError: (error: unknown) => void

  constructor(slices: Slices, epoch: string, read: ReadLog, onError: (error: unknown) => void) {
    this.#onError = onError
    this.#cache = new LRUCache<string, Segment, Bounds>({
      // A page with one very large event can exceed the whole cache; it is returned and not cached.
      maxSize: CACHE_BYTES,
      sizeCalculation: bytesOf,
      fetchMethod: async (_key, _stale, { context: { after, upTo, end } }) => {
        const page = await read(after, upTo, PAGE_SPAN)
        if (page.epoch !== epoch) throw new Error('the log has another epoch')
        const { prunedTo, anchor, events, isTruncated } = page
        const last = events.at(-1)
        let head = isTruncated && last ? last.id : upTo
        if (!last && upTo < end) {
          // All ids in this range were rolled back, perhaps a hundred thousand of them: extend the page to
          // the next event.
          const [next] = (await read(upTo, end, 1)).events
          head = next ? next.id - 1 : end
        }
        const floor = Math.max(after, Math.min(prunedTo.id, head))
        return new Segment(slices, anchor, floor, head, encodeEntries(epoch, events))
      },
    })
  }

  /**
   * Returns the page with the events that follow `cursor`. Its floor is above `cursor` when retention has
   * deleted some of them.
   * @param ringFloor the last id that the page may contain. Later events are in the ring. A page never
   * changes once it was read, so it must not overlap the ring, which grows.
   * @throws when the log can't be read
   */
  async read(cursor: number, ringFloor: number): Promise<Segment> {
    const after = Math.floor(cursor / PAGE_SPAN) * PAGE_SPAN
    const upTo = Math.min(after + PAGE_SPAN, ringFloor)
    const page = await this.#fetch({ after, upTo, end: ringFloor })
    return page.head > cursor ? page : this.#fetch({ after: cursor, upTo, end: ringFloor })
  }

  /**
   * Starts to read the pages that follow `cursor`, so that the database works while earlier pages are encoded
   * and written.
   */
  readAhead(cursor: number, ringFloor: number): void {
    const end = Math.min(cursor + READ_AHEAD * PAGE_SPAN, ringFloor)
    for (; cursor < end; cursor += PAGE_SPAN) this.read(cursor, ringFloor).catch(this.#onError)
  }

  /**
   * Returns the page that ends at `floor`.
   * @throws when the log can't be read
   */
  async readBefore(floor: number): Promise<Segment> {
    const after = Math.floor((floor - 1) / PAGE_SPAN) * PAGE_SPAN
    let page = await this.#fetch({ after, upTo: floor, end: floor })
    // A page that reaches its limit in bytes ends before `floor`; continue until the last part.
    while (page.head < floor) page = await this.#fetch({ after: page.head, upTo: floor, end: floor })
    return page
  }

  #fetch(context: Bounds): Promise<Segment> {
    return this.#cache.forceFetch(`${context.after} ${context.upTo}`, { context })
  }
}

interface Bounds {
  after: number
  upTo: number
  /** The limit up to which an empty page may be extended: everything up to it is settled. */
  end: number
}

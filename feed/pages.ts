import { LRUCache } from 'lru-cache'
import type { LogPage } from '../schemas/events.js'
import { encodeEntries, lengthOf } from './frame.js'
import { Segment } from './segment.js'
import type { Slices } from './slices.js'

/** Ids a page spans at most. Pages begin at its multiples, so everybody who replays shares them, wherever they came in. */
const PAGE_SPAN = 1024
/** In pages: one that is encoded and written next, and one that the log is asked for meanwhile. */
const READ_AHEAD = 2
const CACHE_BYTES = 32 * 1024 * 1024

/** Reads events with `after < id <= upTo` in order of id, at most `limit`, and as many as a page's bound of bytes lets through. */
export type ReadLog = (after: number, upTo: number, limit: number) => Promise<LogPage>

/** What an entry holds beside its frame, about, in bytes. */
const OVERHEAD_BYTES = 128

function bytesOf(page: Segment): number {
  let sum = OVERHEAD_BYTES
  for (const entry of page.after(page.floor)) sum += lengthOf(entry) + OVERHEAD_BYTES
  return sum
}

/** What lies behind the ring, read from the log in pages: each once, however many connections want it. */
export class Pages {
  readonly #cache: LRUCache<string, Segment, Bounds>
  readonly #onError: (error: unknown) => void

  constructor(slices: Slices, epoch: string, read: ReadLog, onError: (error: unknown) => void) {
    this.#onError = onError
    this.#cache = new LRUCache<string, Segment, Bounds>({
      // One event may be larger than all that is kept: it is served, and not kept.
      maxSize: CACHE_BYTES,
      sizeCalculation: bytesOf,
      fetchMethod: async (_key, _stale, { context: { after, upTo, end } }) => {
        const page = await read(after, upTo, PAGE_SPAN)
        if (page.epoch !== epoch) throw new Error('the log is of another history by now')
        const { prunedTo, anchor, events, isCut } = page
        const last = events.at(-1)
        let head = isCut && last ? last.id : upTo
        if (!last && upTo < end) {
          // Ids that were rolled back, perhaps a hundred thousand of them: the page spans them all.
          const [next] = (await read(upTo, end, 1)).events
          head = next ? next.id - 1 : end
        }
        const floor = Math.max(after, Math.min(prunedTo.id, head))
        return new Segment(slices, anchor, floor, head, encodeEntries(epoch, events))
      },
    })
  }

  /**
   * The page that goes on from `cursor`; its floor is above `cursor` when retention has deleted what should follow.
   * @param ringFloor nothing beyond is read: the ring has it, and goes on growing while pages stay the same for everybody
   */
  async read(cursor: number, ringFloor: number): Promise<Segment> {
    const after = Math.floor(cursor / PAGE_SPAN) * PAGE_SPAN
    const upTo = Math.min(after + PAGE_SPAN, ringFloor)
    const page = await this.#fetch({ after, upTo, end: ringFloor })
    return page.head > cursor ? page : this.#fetch({ after: cursor, upTo, end: ringFloor })
  }

  /** Begins to read what `read` will be asked for next: the log works while the pages before are encoded and written. */
  readAhead(cursor: number, ringFloor: number): void {
    const end = Math.min(cursor + READ_AHEAD * PAGE_SPAN, ringFloor)
    for (; cursor < end; cursor += PAGE_SPAN) this.read(cursor, ringFloor).catch(this.#onError)
  }

  /** The page that ends at `floor`. */
  async readBefore(floor: number): Promise<Segment> {
    const after = Math.floor((floor - 1) / PAGE_SPAN) * PAGE_SPAN
    let page = await this.#fetch({ after, upTo: floor, end: floor })
    // The newest of a page that is cut come last.
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
  /** Everything up to here is settled. */
  end: number
}

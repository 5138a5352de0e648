import { LRUCache } from 'lru-cache'
import type { LogPage } from '../schemas/events.js'
import { type Entry, encodeEntry } from './frame.js'
import { Segment } from './segment.js'
import type { Slices } from './slices.js'

/** Ids a page spans. Pages begin at its multiples, so everybody who replays shares them, wherever they came in. */
const PAGE_SPAN = 1024
const CACHE_BYTES = 32 * 1024 * 1024

/** Reads events with `after < id <= upTo` in order of id. */
export type ReadLog = (after: number, upTo: number) => Promise<LogPage>

const bytesOf = (entries: Entry[]): number => entries.reduce((sum, { frame }) => sum + frame.length + 64, 64)

/** What lies behind the ring, read from the log in pages: each once, however many connections want it. */
export class Pages {
  readonly #cache: LRUCache<string, Segment, Bounds>

  constructor(slices: Slices, epoch: string, read: ReadLog) {
    this.#cache = new LRUCache<string, Segment, Bounds>({
      maxSize: CACHE_BYTES,
      sizeCalculation: (page) => bytesOf([...page.after(0)]),
      fetchMethod: async (_key, _stale, { context: { after, upTo } }) => {
        const { prunedTo, events, ...page } = await read(after, upTo)
        if (page.epoch !== epoch) throw new Error('the log is of another history by now')
        return new Segment(
          slices,
          Math.max(after, Math.min(prunedTo, upTo)),
          upTo,
          events.map((event) => encodeEntry(epoch, event)),
        )
      },
    })
  }

  /**
   * The page that goes on from `cursor`; its floor is above `cursor` when retention has deleted what should follow.
   * @param ringFloor nothing beyond is read: the ring has it, and goes on growing while pages stay the same for everybody
   */
  async read(cursor: number, ringFloor: number): Promise<Segment> {
    const after = Math.floor(cursor / PAGE_SPAN) * PAGE_SPAN
    return this.#fetch({ after, upTo: Math.min(after + PAGE_SPAN, ringFloor) })
  }

  /** The page that ends at `floor`. */
  async readBefore(floor: number): Promise<Segment> {
    return this.#fetch({ after: Math.floor((floor - 1) / PAGE_SPAN) * PAGE_SPAN, upTo: floor })
  }

  #fetch(context: Bounds): Promise<Segment> {
    return this.#cache.forceFetch(`${context.after} ${context.upTo}`, { context })
  }
}

interface Bounds {
  after: number
  upTo: number
}

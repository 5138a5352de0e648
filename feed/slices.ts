import { LRUCache } from 'lru-cache'
import type { Position } from '../schemas/events.js'
import type { Block } from './frame.js'

/** Maximum total size of the cached slices, in bytes. The largest event is a fraction of it. */
const CACHE_BYTES = 16 * 1024 * 1024
/** Approximate size of a slice that holds no copy, in bytes. */
const OVERHEAD_BYTES = 128

/** A cached slice of a segment. */
export interface Cut {
  /**
   * A copy of the events; undefined when the filter hides every event up to `cursor`; or the id of an event
   * whose whole block is the slice. Storing the id costs next to nothing, and keeps no block in memory that
   * the segment has dropped.
   */
  due: Block | undefined | number
  /** Every id up to this one is handled by the slice. */
  cursor: number
  /** The last event at or before `cursor`. */
  position: Position
}

/**
 * Caches the slices of a log's segments, shared by connections with the same cursor and filter. Bounded,
 * because ten thousand clients can reconnect with ten thousand different cursors and filters.
 */
export class Slices {
  readonly #cache = new LRUCache<string, Cut>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ due }, key) =>
      (typeof due === 'object' ? due.chunked.length : 0) + key.length + OVERHEAD_BYTES,
  })
  #states = 0

  /** Returns a new identifier for the content of a segment, for the keys of its slices. */
  nextState(): number {
    return ++this.#states
  }

  get(key: string): Cut | undefined {
    return this.#cache.get(key)
  }

  set(key: string, cut: Cut): void {
    this.#cache.set(key, cut)
  }
}

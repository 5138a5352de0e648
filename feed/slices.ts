import { LRUCache } from 'lru-cache'
import type { Position } from '../schemas/events.js'
import type { Block } from './frame.js'

/** Maximum total size of the cached slices, in bytes. The largest event is a fraction of it. */
const CACHE_BYTES = 16 * 1024 * 1024
/** Approximate size of a slice that holds no copy, in bytes. */
const OVERHEAD_BYTES = 128

/**
 * The frames of a cached slice: a copy, or the whole block that the event `blockOf` is in. Storing the id
 * keeps no block in memory that the segment has dropped.
 */
export type CachedFrames = { copy: Block } | { blockOf: number }

/** A slice of a segment as it is cached. */
export interface CachedSlice {
  /** Undefined when the filter hides every event up to `cursor`. */
  frames: CachedFrames | undefined
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
  readonly #cache = new LRUCache<string, CachedSlice>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ frames }, key) =>
      (frames && 'copy' in frames ? frames.copy.chunked.length : 0) + key.length + OVERHEAD_BYTES,
  })
  #states = 0

  /** Returns a new identifier for the content of a segment, for the keys of its slices. */
  nextState(): number {
    return ++this.#states
  }

  get(key: string): CachedSlice | undefined {
    return this.#cache.get(key)
  }

  set(key: string, slice: CachedSlice): void {
    this.#cache.set(key, slice)
  }
}

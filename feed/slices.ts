import { LRUCache } from 'lru-cache'
import type { Block } from './frame.js'

/** What all slices together may hold, in bytes; the largest event is a fraction of it. */
const CACHE_BYTES = 16 * 1024 * 1024
/** What a slice without a block costs, about, in bytes. */
const OVERHEAD_BYTES = 128

/** What is due to a connection, and where it stands once that is written. */
export interface Slice {
  /** Undefined when a filter hides everything up to `cursor`. */
  block: Block | undefined
  cursor: number
}

/**
 * The slices of a history's segments, so that connections at the same place with the same filter share one buffer.
 * Bounded: ten thousand clients can come back at ten thousand places, each of them with another filter.
 */
export class Slices {
  readonly #cache = new LRUCache<string, Slice>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ block }, key) => (block?.chunked.length ?? 0) + key.length + OVERHEAD_BYTES,
  })
  #states = 0

  /** Names a state of a segment, for the keys of what is cut from it. */
  nextState(): number {
    return ++this.#states
  }

  get(key: string): Slice | undefined {
    return this.#cache.get(key)
  }

  set(key: string, slice: Slice): void {
    this.#cache.set(key, slice)
  }
}

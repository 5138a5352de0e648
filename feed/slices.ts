import { LRUCache } from 'lru-cache'
import type { Position } from '../schemas/events.js'
import type { Block } from './frame.js'

/** What all slices together may hold, in bytes; the largest event is a fraction of it. */
const CACHE_BYTES = 16 * 1024 * 1024
/** What a slice without a copy costs, about, in bytes. */
const OVERHEAD_BYTES = 128

/** What was cut from a segment for a connection, and where it stands once that is written. */
export interface Cut {
  /**
   * The events themselves, copied; undefined when a filter hides everything up to `cursor`. Or the id of an event whose block is
   * due whole: that is the segment's, and what is kept here costs next to nothing and keeps no block that the segment has left.
   */
  due: Block | undefined | number
  cursor: number
  position: Position
}

/**
 * The slices of a history's segments, so that connections at the same place with the same filter are cut one slice.
 * Bounded: ten thousand clients can come back at ten thousand places, each of them with another filter.
 */
export class Slices {
  readonly #cache = new LRUCache<string, Cut>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ due }, key) =>
      (typeof due === 'object' ? due.chunked.length : 0) + key.length + OVERHEAD_BYTES,
  })
  #states = 0

  /** Names a state of a segment, for the keys of what is cut from it. */
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

import type { Filter } from './filter.js'
import { Block, type Entry } from './frame.js'

/** At most this much goes into one write, in bytes (or one event that is larger): what a slow reader may hold. */
const WRITE_BYTES = 32 * 1024

/** What is due to a connection, and where it stands once that is written. */
export interface Slice {
  /** Undefined when a filter hides everything up to `cursor`. */
  block: Block | undefined
  cursor: number
}

/**
 * A stretch of the settled log: every event with `floor < id <= head` that will ever exist. Slices are kept until the
 * segment changes, so that connections at the same place with the same filter share one buffer.
 */
export class Segment {
  readonly #slices = new Map<string, Slice>()

  constructor(
    protected floorId: number,
    protected headId: number,
    protected entries: Entry[] = [],
  ) {}

  get floor(): number {
    return this.floorId
  }

  get head(): number {
    return this.headId
  }

  protected forgetSlices(): void {
    this.#slices.clear()
  }

  /** The events after `cursor`, oldest first. */
  *after(cursor: number): Generator<Entry> {
    for (let i = this.#indexAfter(cursor); i < this.entries.length; i++) {
      const entry = this.entries[i]
      if (entry) yield entry
    }
  }

  /** What `filter` lets through after `cursor`, up to the bound of one write. `cursor` must be within the segment. */
  slice(cursor: number, filter: Filter): Slice {
    const key = `${cursor} ${filter.key}`
    const known = this.#slices.get(key)
    if (known) return known
    const made = this.#cut(cursor, filter)
    this.#slices.set(key, made)
    return made
  }

  #cut(cursor: number, filter: Filter): Slice {
    const frames: Buffer[] = []
    let bytes = 0
    for (const entry of this.after(cursor)) {
      if (!filter.matches(entry)) continue
      if (bytes > 0 && bytes + entry.frame.length > WRITE_BYTES) {
        return { block: new Block(frames), cursor: entry.id - 1 }
      }
      frames.push(entry.frame)
      bytes += entry.frame.length
    }
    return { block: bytes > 0 ? new Block(frames) : undefined, cursor: this.headId }
  }

  #indexAfter(cursor: number): number {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.entries[middle]?.id ?? Infinity) > cursor) high = middle
      else low = middle + 1
    }
    return low
  }
}

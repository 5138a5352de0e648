import type { Filter } from './filter.js'
import { Block, type Entry, lengthOf } from './frame.js'
import type { Slice, Slices } from './slices.js'

/** At most this much goes into one write, in bytes (or one event that is larger): what a slow reader may hold. */
const WRITE_BYTES = 32 * 1024

/**
 * A stretch of the settled log: every event with `floor < id <= head` that will ever exist. What is cut from it is shared until
 * it changes.
 */
export class Segment {
  #state: number
  /** What was last asked for: most connections are at the same place, and a key would have to be put together for each. */
  #latest: { cursor: number; filter: Filter; slice: Slice } | undefined

  constructor(
    readonly slices: Slices,
    protected floorId: number,
    protected headId: number,
    protected entries: Entry[] = [],
  ) {
    this.#state = slices.nextState()
  }

  get floor(): number {
    return this.floorId
  }

  get head(): number {
    return this.headId
  }

  /** What was cut so far isn't due to anybody any more. */
  protected changed(): void {
    this.#state = this.slices.nextState()
    this.#latest = undefined
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
    if (this.#latest?.cursor === cursor && this.#latest.filter === filter) return this.#latest.slice
    const key = `${this.#state} ${cursor} ${filter.key}`
    let slice = this.slices.get(key)
    if (!slice) {
      slice = this.#cut(cursor, filter)
      this.slices.set(key, slice)
    }
    this.#latest = { cursor, filter, slice }
    return slice
  }

  #cut(cursor: number, filter: Filter): Slice {
    const runs: { bytes: Buffer; start: number; end: number }[] = []
    let length = 0
    const block = () => new Block(runs.map(({ bytes, start, end }) => bytes.subarray(start, end)))
    for (let i = this.#indexAfter(cursor); i < this.entries.length; i++) {
      const entry = this.entries[i]
      if (!entry || !filter.matches(entry)) continue
      if (length > 0 && length + lengthOf(entry) > WRITE_BYTES)
        return { block: block(), cursor: entry.id - 1 }
      length += lengthOf(entry)
      const { bytes, start, end } = entry
      const run = runs.at(-1)
      if (run?.bytes === bytes && run.end === start) run.end = end
      else runs.push({ bytes, start, end })
    }
    return { block: length > 0 ? block() : undefined, cursor: this.headId }
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

import type { Filter } from './filter.js'
import { Block, type Entry, WRITE_BYTES, lengthOf } from './frame.js'
import type { Slice, Slices } from './slices.js'

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
      const { stretches, cursor: reached } = this.#cut(cursor, filter)
      slice = { block: wholeBlock(stretches) ?? copy(stretches), cursor: reached }
      this.slices.set(key, slice)
    }
    this.#latest = { cursor, filter, slice }
    return slice
  }

  /** Ends between two blocks where it can: whoever came in amid a block goes on with whole ones, of which nothing is copied. */
  #cut(cursor: number, filter: Filter): { stretches: Stretch[]; cursor: number } {
    const stretches: Stretch[] = []
    let length = 0
    let seam: { count: number; cursor: number } | undefined
    for (let i = this.#indexAfter(cursor); i < this.entries.length; i++) {
      const entry = this.entries[i]
      if (!entry || !filter.matches(entry)) continue
      const { id, block, start, end } = entry
      const last = stretches.at(-1)
      if (last && last.block !== block) seam = { count: stretches.length, cursor: id - 1 }
      if (last && length + lengthOf(entry) > WRITE_BYTES)
        return { stretches: stretches.slice(0, seam?.count), cursor: seam?.cursor ?? id - 1 }
      length += lengthOf(entry)
      if (last?.block === block && last.end === start) last.end = end
      else stretches.push({ block, start, end })
    }
    return { stretches, cursor: this.headId }
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

/** Frames that lie behind each other in a block. */
type Stretch = Pick<Entry, 'block' | 'start' | 'end'>

function wholeBlock([first, ...others]: readonly Stretch[]): Block | undefined {
  if (!first || others.length > 0) return
  const { block, start, end } = first
  return start === block.start && end === block.end ? block : undefined
}

function copy(stretches: readonly Stretch[]): Block | undefined {
  if (stretches.length === 0) return
  return Block.concat(stretches.map(({ block, start, end }) => block.chunked.subarray(start, end)))
}

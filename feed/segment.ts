import type { Position } from '../schemas/events.js'
import type { Filter } from './filter.js'
import { Block, type Entry, WRITE_BYTES } from './frame.js'
import type { CachedFrames, CachedSlice, Slices } from './slices.js'

/** The pending events of a connection, up to the size of one write. */
export interface Slice {
  /** The frames; undefined when the filter hides every event up to `cursor`. */
  block: Block | undefined
  /**
   * Every id up to this one is handled by the slice. It need not be an event's: ids can be missing at the end
   * of a page.
   */
  cursor: number
  /** The last event at or before `cursor`. */
  position: Position
}

/**
 * A range of the settled log: every event with `floor < id <= head` that will ever exist. Its slices are
 * cached until the segment changes, and shared by all connections with the same cursor and filter.
 */
export class Segment {
  /** Identifies the current content of the segment in the keys of the cache. */
  #state: number
  /**
   * The last slice that was returned: most connections have the same cursor, and building a key for each
   * would be slow.
   */
  #latest: { cursor: number; filter: Filter; slice: Slice } | undefined

  /**
   * @param anchor the newest event at or before `floorId`, or the position up to which retention has deleted
   * events
   */
  constructor(
    readonly slices: Slices,
    protected anchor: Position,
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

  /** Invalidates the cached slices. */
  protected changed(): void {
    this.#state = this.slices.nextState()
    this.#latest = undefined
  }

  /** Iterates over the events after `cursor`, oldest first. */
  *after(cursor: number): Generator<Entry> {
    for (let i = this.#indexAfter(cursor); i < this.entries.length; i++) {
      const entry = this.entries[i]
      if (entry) yield entry
    }
  }

  /** Returns the last event at or before `cursor`, which must be within the segment. */
  positionAt(cursor: number): Position {
    return this.#positionBefore(this.#indexAfter(cursor))
  }

  /**
   * Returns the events after `cursor` that `filter` matches, up to the size of one write. `cursor` must be
   * within the segment.
   */
  slice(cursor: number, filter: Filter): Slice {
    if (this.#latest?.cursor === cursor && this.#latest.filter === filter) return this.#latest.slice
    const key = `${this.#state} ${cursor} ${filter.key}`
    let cached = this.slices.get(key)
    if (!cached) {
      cached = this.#compute(cursor, filter)
      this.slices.set(key, cached)
    }
    const { frames } = cached
    const block = frames && ('copy' in frames ? frames.copy : this.#blockOf(frames.blockOf))
    const slice = { block, cursor: cached.cursor, position: cached.position }
    this.#latest = { cursor, filter, slice }
    return slice
  }

  /**
   * Computes a slice. It ends on a block boundary where possible, so that a connection that started in the
   * middle of a block gets whole blocks from then on, which are not copied.
   */
  #compute(cursor: number, filter: Filter): CachedSlice {
    const ranges: ByteRange[] = []
    let last: ByteRange | undefined
    let length = 0
    let seam: { count: number; index: number } | undefined
    for (let index = this.#indexAfter(cursor); index < this.entries.length; index++) {
      const entry = this.entries[index]
      if (!entry || !filter.matches(entry)) continue
      const { id, block, start, end } = entry
      if (last && last.block !== block) seam = { count: ranges.length, index }
      length += end - start
      if (last && length > WRITE_BYTES) {
        const position = this.#positionBefore(seam?.index ?? index)
        return { frames: framesOf(ranges.slice(0, seam?.count)), cursor: position.id, position }
      }
      if (last?.block === block && last.end === start) last.end = end
      else ranges.push((last = { id, block, start, end }))
    }
    return {
      frames: framesOf(ranges),
      cursor: this.headId,
      position: this.#positionBefore(this.entries.length),
    }
  }

  /** Returns the position before an index. It is a copy: the entry itself would keep its block in memory. */
  #positionBefore(index: number): Position {
    const { id, check } = this.entries[index - 1] ?? this.anchor
    return { id, check }
  }

  /** Returns the block of the event `id`. */
  #blockOf(id: number): Block | undefined {
    return this.entries[this.#indexAfter(id - 1)]?.block
  }

  /** Returns the index of the first entry after `cursor`, by binary search. */
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

/** Adjacent frames of a block, starting with that of the event `id`. */
type ByteRange = Pick<Entry, 'id' | 'block' | 'start' | 'end'>

/**
 * Returns the frames of the ranges: without a copy if they are one whole block, undefined if there are none.
 */
function framesOf(ranges: readonly ByteRange[]): CachedFrames | undefined {
  const [first, ...others] = ranges
  if (!first) return undefined
  const { id, block, start, end } = first
  if (others.length === 0 && start === block.start && end === block.end) return { blockOf: id }
  return { copy: Block.concat(ranges.map(({ block, start, end }) => block.chunked.subarray(start, end))) }
}

import type { Position } from '../schemas/events.js'
import type { Filter } from './filter.js'
import { Block, type Entry, WRITE_BYTES } from './frame.js'
import type { Cut, Slices } from './slices.js'

/** What is due to a connection, nothing when a filter hides all of it, and where it stands once that is written. */
export interface Slice {
  block: Block | undefined
  /** Everything up to this id has been dealt with. Not always an event's: ids can be missing at the end of a page. */
  cursor: number
  /** The last event at or before `cursor`. */
  position: Position
}

/**
 * A stretch of the settled log: every event with `floor < id <= head` that will ever exist. What is cut from it is shared until
 * it changes.
 */
export class Segment {
  #state: number
  /** What was last asked for: most connections are at the same place, and a key would have to be put together for each. */
  #latest: { cursor: number; filter: Filter; slice: Slice } | undefined

  /** @param anchor the newest event at or before `floorId`, or the position that retention has deleted up to */
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

  /** The last event at or before `cursor`, which must be within the segment. */
  positionAt(cursor: number): Position {
    return this.#positionBefore(this.#indexAfter(cursor))
  }

  /** What `filter` lets through after `cursor`, up to the bound of one write. `cursor` must be within the segment. */
  slice(cursor: number, filter: Filter): Slice {
    if (this.#latest?.cursor === cursor && this.#latest.filter === filter) return this.#latest.slice
    const key = `${this.#state} ${cursor} ${filter.key}`
    let cut = this.slices.get(key)
    if (!cut) {
      cut = this.#cut(cursor, filter)
      this.slices.set(key, cut)
    }
    const block = typeof cut.due === 'number' ? this.#blockOf(cut.due) : cut.due
    const slice = { block, cursor: cut.cursor, position: cut.position }
    this.#latest = { cursor, filter, slice }
    return slice
  }

  /** Ends between two blocks where it can: whoever came in amid a block goes on with whole ones, of which nothing is copied. */
  #cut(cursor: number, filter: Filter): Cut {
    const stretches: Stretch[] = []
    let last: Stretch | undefined
    let length = 0
    let seam: { count: number; index: number } | undefined
    for (let i = this.#indexAfter(cursor), entry = this.entries[i]; entry; entry = this.entries[i]) {
      const index = i
      const { id, block, start } = entry
      const whole = start === block.start ? block.outline : undefined
      const seen = whole ? filter.sees(whole) : 'some'
      i += whole && seen !== 'some' ? whole.count : 1
      if (seen === 'none' || (seen === 'some' && !filter.matches(entry))) continue
      const end = seen === 'all' ? block.end : entry.end
      if (last && last.block !== block) seam = { count: stretches.length, index }
      length += end - start
      if (last && length > WRITE_BYTES) {
        const position = this.#positionBefore(seam?.index ?? index)
        return { due: dueOf(stretches.slice(0, seam?.count)), cursor: position.id, position }
      }
      if (last?.block === block && last.end === start) last.end = end
      else stretches.push((last = { id, block, start, end }))
    }
    return {
      due: dueOf(stretches),
      cursor: this.headId,
      position: this.#positionBefore(this.entries.length),
    }
  }

  /** A copy: an entry would keep its block in memory for whoever stands there. */
  #positionBefore(index: number): Position {
    const { id, check } = this.entries[index - 1] ?? this.anchor
    return { id, check }
  }

  #blockOf(id: number): Block | undefined {
    return this.entries[this.#indexAfter(id - 1)]?.block
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

/** Frames that lie behind each other in a block, from that of the event `id` on. */
type Stretch = Pick<Entry, 'id' | 'block' | 'start' | 'end'>

function dueOf(stretches: readonly Stretch[]): Cut['due'] {
  const [first, ...others] = stretches
  if (!first) return undefined
  const { id, block, start, end } = first
  if (others.length === 0 && start === block.start && end === block.end) return id
  return Block.concat(stretches.map(({ block, start, end }) => block.chunked.subarray(start, end)))
}

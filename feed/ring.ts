import type { Position } from '../schemas/events.js'
import { type Entry, lengthOf } from './frame.js'
import { Segment } from './segment.js'
import type { Slices } from './slices.js'

const MAX_ENTRIES = 16_384
const MAX_BYTES = 16 * 1024 * 1024

/** The newest stretch of the log, in memory: what live connections are served from. */
export class Ring extends Segment {
  #bytes = 0

  /** @param head the last event before those that are added */
  constructor(slices: Slices, head: Position) {
    super(slices, head, head.id, head.id)
  }

  /** The position of whoever has everything. */
  get headPosition(): Position {
    return this.positionAt(this.headId)
  }

  /** Adds settled events. */
  append(entries: Entry[]): void {
    for (const entry of entries) this.entries.push(entry)
    this.headId = entries.at(-1)?.id ?? this.headId
    for (const entry of entries) this.#bytes += lengthOf(entry)
    this.changed()
    // Cutting in halves keeps the cost of moving the array away from each single event.
    if (this.entries.length > 2 * MAX_ENTRIES || this.#bytes > 2 * MAX_BYTES) this.#shorten()
  }

  #shorten(): void {
    let keep = this.entries.length
    let bytes = 0
    while (keep > 0 && this.entries.length - keep < MAX_ENTRIES) {
      const entry = this.entries[keep - 1]
      if (entry) bytes += lengthOf(entry)
      if (bytes > MAX_BYTES) break
      keep -= 1
    }
    this.anchor = this.positionAt(this.entries[keep - 1]?.id ?? this.floorId)
    this.floorId = this.anchor.id
    this.entries = this.entries.slice(keep)
    this.#bytes = this.entries.reduce((sum, entry) => sum + lengthOf(entry), 0)
  }
}

import type { Position } from '../schemas/events.js'
import { type Entry, lengthOf } from './frame.js'
import { Segment } from './segment.js'
import type { Slices } from './slices.js'

/** Maximum number of events that stay in the ring when it is shortened. */
const MAX_ENTRIES = 16_384
/** Maximum size of their frames, in bytes. */
const MAX_BYTES = 16 * 1024 * 1024

/** The newest part of the log, in memory. Connections that are up to date are served from it. */
export class Ring extends Segment {
  #bytes = 0

  /** @param head the last event before the first one that is appended */
  constructor(slices: Slices, head: Position) {
    super(slices, head, head.id, head.id)
  }

  /** The position of the newest event. */
  get headPosition(): Position {
    return this.positionAt(this.headId)
  }

  /** Appends settled events, and drops the oldest ones when the ring has reached twice its limits. */
  append(entries: Entry[]): void {
    for (const entry of entries) this.entries.push(entry)
    this.headId = entries.at(-1)?.id ?? this.headId
    for (const entry of entries) this.#bytes += lengthOf(entry)
    this.changed()
    // Shortening at twice the limits spreads the cost of copying the array over many appends.
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

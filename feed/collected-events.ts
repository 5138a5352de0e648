import type { Position } from '../schemas/events.js'
import { type Entry, decodeData, lengthOf } from './frame.js'

/** A page ends with the event that brings it to this size or beyond, in bytes. */
const PAGE_BYTES = 1024 * 1024

/** An event of a page, decoded from its block: an entry would keep the whole block in memory. */
export interface PageEvent extends Position {
  readonly type: string
  readonly data: unknown
}

/** Collects the events of a page. */
export class CollectedEvents {
  readonly events: PageEvent[] = []
  /** The total size of their frames, in bytes. */
  bytes = 0

  /** @param limit the maximum number of events */
  constructor(readonly limit: number) {}

  get isFull(): boolean {
    return this.events.length >= this.limit || this.bytes >= PAGE_BYTES
  }

  add(entry: Entry): void {
    const { id, check, type } = entry
    this.events.push({ id, check, type, data: decodeData(entry) })
    this.bytes += lengthOf(entry)
  }
}

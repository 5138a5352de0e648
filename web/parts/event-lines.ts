import type { EventType } from '../../schemas/events.js'
import type { LogEvent } from './api.js'
import { keysOf } from './keys.js'

export type Kind = 'created' | 'changed' | 'archived'

/** The kind of line that an event of each type makes. */
const KIND_OF: Record<EventType, Kind> = {
  'item.created': 'created',
  'item.updated': 'changed',
  'revision.created': 'changed',
  'item.deleted': 'archived',
}

/** Returns the types of the events that lines of a kind are made of. */
export const typesOf = (kind: Kind): EventType[] =>
  keysOf<EventType>(KIND_OF).filter((type) => KIND_OF[type] === kind)

/** A line of the panel: an event, or the two events of one change. */
export interface Line {
  /** Lines with the same key are merged. */
  key: string
  kind: Kind
  part_number: string
  /** Undefined for an archived item. */
  revision: number | undefined
  /** Undefined if the event contains none and it was not read yet. */
  description: string | undefined
  comment: string | null | undefined
  actor: string
  at: Date
  /** When the event arrived, in ms since 1970; undefined if it was read when the page was loaded. */
  cameAt?: number
}

function revisionOf({ type, data }: LogEvent): number | undefined {
  if (type === 'item.created') return 1
  if ('revision' in data) return data.revision
  return 'revision_number' in data ? data.revision_number : undefined
}

/**
 * Converts an event to a line of the panel. The two events of one change, `item.updated` and
 * `revision.created`, have the same `key`.
 */
export function lineOf(event: LogEvent): Line {
  const { id, type, data } = event
  const { part_number, actor, at } = data
  const revision = revisionOf(event)
  return {
    key: revision === undefined ? id : `${part_number} ${revision}`,
    kind: KIND_OF[type],
    part_number,
    revision,
    description: 'description' in data ? data.description : undefined,
    comment: 'comment' in data ? data.comment : undefined,
    actor,
    at: new Date(at),
  }
}

/** The lines of the panel, the oldest first. Lines with the same key are merged. */
export class Lines {
  #byKey = new Map<string, Line>()
  #ordered: Line[] = []
  /** Number of lines ever added, including removed ones. */
  #count = 0

  get size(): number {
    return this.#ordered.length
  }

  get count(): number {
    return this.#count
  }

  /** Adds a line, or merges it into the one with the same key. Returns the line that is in the list. */
  add(line: Line): Line {
    const known = this.#byKey.get(line.key)
    if (known) {
      known.comment ??= line.comment
      return known
    }
    this.#byKey.set(line.key, line)
    this.#ordered.push(line)
    this.#count += 1
    return line
  }

  /** Whether there is a line with the same key. */
  knows({ key }: Line): boolean {
    return this.#byKey.has(key)
  }

  /** Returns the line at `index`, counted from the newest. */
  newest(index: number): Line | undefined {
    return this.#ordered[this.#ordered.length - 1 - index]
  }

  /** Removes the oldest lines until at most `max` are left. */
  trim(max: number): void {
    for (const line of this.#ordered.splice(0, Math.max(0, this.#ordered.length - max))) {
      this.#byKey.delete(line.key)
    }
  }

  *[Symbol.iterator](): Generator<Line> {
    yield* this.#ordered
  }
}

/** The kinds of lines, and the events that each is made of. */
export const KINDS = {
  created: ['item.created'],
  changed: ['item.updated', 'revision.created'],
  archived: ['item.deleted'],
}

const kindOf = (type) => Object.keys(KINDS).find((kind) => KINDS[kind].includes(type))

/**
 * What one event says as a line of the panel. `key` is the same for events that tell of one change: a revision comes as
 * `item.updated` and as `revision.created`.
 */
export function lineOf({ id, type, data }) {
  const { part_number, actor, description, comment } = data
  const kind = kindOf(type)
  const revision = kind === 'created' ? 1 : (data.revision ?? data.revision_number)
  const key = revision === undefined ? id : `${part_number} ${revision}`
  return { key, kind, part_number, revision, description, comment, actor, at: new Date(data.at) }
}

/** The lines of the panel, the oldest first. What a line adds to one that is there goes into that. */
export class Lines {
  #byKey = new Map()
  #ordered = []
  /** How many there were ever, also those that are forgotten. */
  #count = 0

  get size() {
    return this.#ordered.length
  }

  get count() {
    return this.#count
  }

  /** Adds a line, or joins it to the one with the same key; returns the line that stands. */
  add(line) {
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

  /** Whether the line would join one that is there. */
  knows({ key }) {
    return this.#byKey.has(key)
  }

  /** The line with so many newer ones. */
  newest(index) {
    return this.#ordered[this.#ordered.length - 1 - index]
  }

  /** Forgets the oldest, so that this many are left. */
  trim(most) {
    for (const line of this.#ordered.splice(0, Math.max(0, this.#ordered.length - most))) {
      this.#byKey.delete(line.key)
    }
  }

  *[Symbol.iterator]() {
    yield* this.#ordered
  }
}

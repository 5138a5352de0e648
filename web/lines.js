/** The kinds of lines, with the types of the events that each is made of. */
export const KINDS = {
  created: ['item.created'],
  changed: ['item.updated', 'revision.created'],
  archived: ['item.deleted'],
}

const kindOf = (type) => Object.keys(KINDS).find((kind) => KINDS[kind].includes(type))

/**
 * Converts an event to a line of the panel. The two events of one change, `item.updated` and
 * `revision.created`, have the same `key`.
 */
export function lineOf({ id, type, data }) {
  const { part_number, actor, description, comment } = data
  const kind = kindOf(type)
  const revision = kind === 'created' ? 1 : (data.revision ?? data.revision_number)
  const key = revision === undefined ? id : `${part_number} ${revision}`
  return { key, kind, part_number, revision, description, comment, actor, at: new Date(data.at) }
}

/** The lines of the panel, the oldest first. Lines with the same key are merged. */
export class Lines {
  #byKey = new Map()
  #ordered = []
  /** Number of lines ever added, including removed ones. */
  #count = 0

  get size() {
    return this.#ordered.length
  }

  get count() {
    return this.#count
  }

  /** Adds a line, or merges it into the one with the same key. Returns the line that is in the list. */
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

  /** Whether there is a line with the same key. */
  knows({ key }) {
    return this.#byKey.has(key)
  }

  /** Returns the line at `index`, counted from the newest. */
  newest(index) {
    return this.#ordered[this.#ordered.length - 1 - index]
  }

  /** Removes the oldest lines until at most `most` are left. */
  trim(most) {
    for (const line of this.#ordered.splice(0, Math.max(0, this.#ordered.length - most))) {
      this.#byKey.delete(line.key)
    }
  }

  *[Symbol.iterator]() {
    yield* this.#ordered
  }
}

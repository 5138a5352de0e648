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

/** The lines of the panel by their keys, the oldest first. What an event adds to a line that is there goes into it. */
export class Lines {
  #lines = new Map()

  add(event) {
    const line = lineOf(event)
    const known = this.#lines.get(line.key)
    if (!known) this.#lines.set(line.key, line)
    else if (line.comment !== undefined) known.comment = line.comment
    return known ?? line
  }

  /** Forgets the oldest, so that this many are left. */
  trim(count) {
    for (const key of this.#lines.keys()) {
      if (this.#lines.size <= count) return
      this.#lines.delete(key)
    }
  }

  has(line) {
    return this.#lines.get(line.key) === line
  }

  get size() {
    return this.#lines.size
  }

  newestFirst() {
    return [...this.#lines.values()].reverse()
  }
}

import { read } from './api.js'

/** Questions to the API at a time: the browser has six connections for everything. */
const AT_ONCE = 2

async function readDescription({ part_number, revision }) {
  const revisions = `/api/items/${encodeURIComponent(part_number)}/revisions`
  if (revision !== undefined) return (await read(`${revisions}/${revision}`)).description
  const newest = await read(`${revisions}?limit=1`)
  return newest.revisions[0].description
}

/**
 * Finds the descriptions of lines whose events carry none: that of their revision, or what an archived item had last.
 * Asks only for lines that are `shown`, the newest question first, and tells when one is `found`.
 */
export class Descriptions {
  #shown
  #found
  #wanted = []
  #asking = 0

  constructor({ shown, found }) {
    this.#shown = shown
    this.#found = found
  }

  want(line) {
    if (line.description !== undefined || this.#wanted.includes(line)) return
    this.#wanted.push(line)
    // Rows are made before they are in the list.
    queueMicrotask(() => this.#next())
  }

  async #next() {
    this.#wanted = this.#wanted.filter((line) => this.#shown(line))
    if (this.#asking === AT_ONCE || this.#wanted.length === 0) return
    const line = this.#wanted.pop()
    this.#asking += 1
    try {
      line.description = await readDescription(line)
      this.#found(line)
    } catch {
      // It is asked for again when its row is made again; that the server is away is told by the connection's state.
    } finally {
      this.#asking -= 1
    }
    this.#next()
  }
}

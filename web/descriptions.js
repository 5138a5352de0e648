import { read } from './api.js'

/** Maximum number of concurrent requests: a browser has six connections to a host over HTTP/1.1. */
const AT_ONCE = 2

async function readDescription({ part_number, revision }) {
  const revisions = `/api/items/${encodeURIComponent(part_number)}/revisions`
  if (revision !== undefined) return (await read(`${revisions}/${revision}`)).description
  const newest = await read(`${revisions}?limit=1`)
  return newest.revisions[0].description
}

/**
 * Reads the descriptions of lines whose events contain none: that of the line's revision, or of the newest
 * revision of an archived item. Only lines that are visible are read, the latest request first.
 */
export class Descriptions {
  #shown
  #found
  #wanted = []
  #asking = 0

  /**
   * @param shown returns whether a line is visible
   * @param found is called with a line once it has its description
   */
  constructor({ shown, found }) {
    this.#shown = shown
    this.#found = found
  }

  want(line) {
    if (line.description !== undefined || this.#wanted.includes(line)) return
    this.#wanted.push(line)
    // Deferred, because a row is made before it is in the list, and only then its line counts as visible.
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
      // Read again when the row is made again. The state of the connection shows that the server can't be
      // reached.
    } finally {
      this.#asking -= 1
    }
    this.#next()
  }
}

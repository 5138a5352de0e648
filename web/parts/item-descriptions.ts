import { read } from './api.js'
import type { Line } from './event-lines.js'

/** Maximum number of concurrent requests: a browser has six connections to a host over HTTP/1.1. */
const MAX_CONCURRENT = 2

async function readDescription({ part_number, revision }: Line): Promise<string | undefined> {
  const revisions = `/api/items/${encodeURIComponent(part_number)}/revisions` as const
  if (revision !== undefined) return (await read(`${revisions}/${revision}`)).description
  const newest = await read(`${revisions}?limit=1`)
  return newest.revisions[0]?.description
}

/**
 * Reads the descriptions of lines whose events contain none: that of the line's revision, or of the newest
 * revision of an archived item. Only lines that are visible are read, the latest request first.
 */
export class Descriptions {
  readonly #isShown: (line: Line) => boolean
  readonly #onFound: (line: Line) => void
  #wanted: Line[] = []
  #running = 0

  /**
   * @param isShown returns whether a line is visible
   * @param onFound is called with a line once it has its description
   */
  constructor(isShown: (line: Line) => boolean, onFound: (line: Line) => void) {
    this.#isShown = isShown
    this.#onFound = onFound
  }

  want(line: Line): void {
    if (line.description !== undefined || this.#wanted.includes(line)) return
    this.#wanted.push(line)
    // Deferred: the row is in the list only after this call, and its line does not count as visible before.
    queueMicrotask(() => void this.#next())
  }

  async #next(): Promise<void> {
    this.#wanted = this.#wanted.filter((line) => this.#isShown(line))
    if (this.#running === MAX_CONCURRENT) return
    const line = this.#wanted.pop()
    if (!line) return
    this.#running += 1
    try {
      line.description = await readDescription(line)
      if (line.description !== undefined) this.#onFound(line)
    } catch {
      // The description is read again when the row is rendered again. The page's connection state shows that
      // the server can't be reached.
    } finally {
      this.#running -= 1
    }
    void this.#next()
  }
}

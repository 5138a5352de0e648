import type { Dispatched } from '../conformance/grammar.js'
import type { Answer, Request } from './wire.js'

interface Fields {
  part_number?: unknown
  revision?: unknown
  revision_number?: unknown
  comment?: unknown
  created?: unknown
  updated?: unknown
}

const read = (text: string): Fields => {
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null ? value : {}
}

const key = (...parts: unknown[]): string => JSON.stringify(parts)
const lower = (partNumber: unknown): string => String(partNumber).toLowerCase()

/**
 * Records the writes that the service has acknowledged, and the events that the feed must contain for them.
 */
export class Acknowledged {
  readonly #due = new Set<string>()
  #created = 0
  /** The bodies of the imports, in lower case. */
  readonly #imported: string[] = []
  #updatedAtLeast = 0

  get count(): number {
    return this.#due.size
  }

  note({ method, target, body: sent }: Request, { status, body }: Answer): void {
    const [address = ''] = target.split(/[?#]/)
    const item = /^\/api\/items\/([^/]+)$/.exec(address)?.[1]
    const isRevision = /^\/api\/items\/[^/]+\/revisions$/.test(address)
    if (method === 'POST' && address === '/api/items' && status === 201) {
      this.#due.add(key('item.created', lower(read(body.toString()).part_number)))
      this.#created++
    } else if (method === 'POST' && address === '/api/items/import' && status === 200) {
      if (/[?&]dry_run=true/.test(target)) return
      const { created, updated } = read(body.toString())
      this.#created += Number(created)
      this.#imported.push(lower(sent?.text ?? ''))
      this.#updatedAtLeast += Number(updated)
    } else if (method === 'POST' && isRevision && status === 201) {
      const { part_number, revision_number, comment } = read(body.toString())
      this.#due.add(key('item.updated', lower(part_number), revision_number))
      this.#due.add(key('revision.created', lower(part_number), revision_number, comment))
      this.#updatedAtLeast++
    } else if (method === 'PUT' && item !== undefined && status === 200) {
      const { part_number, revision } = read(body.toString())
      // The response to a change without effect has the revision of an earlier write.
      if (Number(revision) > 1) this.#due.add(key('item.updated', lower(part_number), revision))
    } else if (method === 'DELETE' && item !== undefined && status === 204) {
      this.#due.add(key('item.deleted', lower(decodeURIComponent(item))))
    }
  }

  /** Compares the events of the feed with the acknowledged writes. Returns a sentence for each difference. */
  compare(events: readonly Dispatched[]): string[] {
    const seen = new Set<string>()
    const counts: Record<string, number> = {}
    for (const { type, data } of events) {
      const { part_number, revision, revision_number, comment } = read(data)
      counts[type] = (counts[type] ?? 0) + 1
      const number = lower(part_number)
      if (type === 'item.created' || type === 'item.deleted') seen.add(key(type, number))
      if (type === 'item.updated') seen.add(key(type, number, revision))
      if (type === 'revision.created') seen.add(key(type, number, revision_number, comment))
    }
    const wrong = [...this.#due]
      .filter((due) => !seen.has(due))
      .map((due) => `acknowledged, but not on the feed: ${due}`)
    const { 'item.created': created = 0, 'item.updated': updated = 0 } = counts
    if (created !== this.#created) {
      const others = this.#unexplained(events).join('; ')
      wrong.push(
        `${this.#created} items were created, the feed has ${created}; of no acknowledged write: ${others}`,
      )
    }
    if (updated < this.#updatedAtLeast) {
      wrong.push(`${this.#updatedAtLeast} items or more were changed, the feed has ${updated}`)
    }
    return wrong
  }

  /** Returns the created items that no acknowledged request names. */
  #unexplained(events: readonly Dispatched[]): string[] {
    return events.flatMap(({ type, data }) => {
      const number = lower(read(data).part_number)
      const isNamed =
        type !== 'item.created' ||
        this.#due.has(key(type, number)) ||
        this.#imported.some((text) => text.includes(number))
      return isNamed ? [] : [number]
    })
  }
}

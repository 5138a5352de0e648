import { setTimeout as delay } from 'node:timers/promises'
import { within } from '../../lib/deadline.js'
import type { Sql } from '../../store/driver/connect.js'
import type { Random } from '../harness/random.js'
import type { TruthEvent } from './truth.js'

/** Items that all API writers edit concurrently. */
export const HOT_ITEMS = Array.from({ length: 8 }, (_, i) => `HOT-${i}`)
/** How long a transaction may take, in ms. A query on a terminated connection may never return. */
const SQL_DEADLINE_MS = 10_000
const SQL_ITEMS = Array.from({ length: 8 }, (_, i) => `SQL-${i}`)

/** A write, with its outcome and its events. */
export interface Write {
  /** The outcome as far as the writer knows it. */
  outcome: 'acknowledged' | 'refused' | 'unknown'
  /** When the writer sent it, by `performance.now()`. */
  began: number
  /** When the writer knew its outcome, by `performance.now()`. */
  ended: number
  /** Identify the events of the write. Each must be in the log exactly once if the write was acknowledged. */
  marks: string[]
}

/**
 * Returns the mark that identifies the write of an event; undefined for events without one. Comments are
 * unique to a write, and so are the numbers of created and of deleted items.
 */
export function markOf({ type, part_number, data }: TruthEvent): string | undefined {
  if (type === 'revision.created') return typeof data.comment === 'string' ? data.comment : undefined
  return type === 'item.updated' ? undefined : `${type} ${part_number}`
}

/** Writes in a loop until it is stopped, and records the outcomes. */
abstract class Writer {
  readonly writes: Write[] = []
  #stopped = false
  #done: Promise<void> | undefined
  #count = 0

  constructor(
    readonly name: string,
    readonly random: Random,
  ) {}

  start(): this {
    this.#done = this.#live()
    return this
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  /** Makes one write. Its events are marked with `mark`, which is unique. */
  protected abstract write(mark: string): Promise<Omit<Write, 'began' | 'ended'>>

  async #live(): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now()
      const { outcome, marks } = await this.write(`${this.name}-${this.#count++}`)
      this.writes.push({ outcome, marks, began, ended: performance.now() })
      await delay(this.random.between(5, 120))
    }
  }
}

/** Writes through the API, at the origin that `origin` returns for each request. */
export class ApiWriter extends Writer {
  readonly #own: string[] = []

  constructor(
    name: string,
    random: Random,
    readonly origin: () => string,
    readonly token: string,
  ) {
    super(name, random)
  }

  protected async write(mark: string): Promise<Omit<Write, 'began' | 'ended'>> {
    const dice = this.random.next()
    const hot = this.random.pick(HOT_ITEMS)
    if (dice < 0.3) return this.#create(mark)
    if (dice < 0.65) return this.#send('PUT', `/${hot}`, { description: mark, comment: mark }, [mark])
    if (dice < 0.75) {
      const ifMatch = { 'if-match': `"${this.random.between(1, 5)}"` }
      return this.#send('PUT', `/${hot}`, { description: mark, comment: mark }, [mark], ifMatch)
    }
    if (dice < 0.82) return this.#send('POST', `/${hot}/revisions`, { comment: mark }, [mark])
    if (dice < 0.95) return this.#delete(mark)
    return this.#import(mark)
  }

  async #create(mark: string) {
    const written = await this.#send('POST', '', { part_number: mark, description: mark }, [
      `item.created ${mark}`,
    ])
    if (written.outcome === 'acknowledged') this.#own.push(mark)
    return written
  }

  #delete(mark: string) {
    const number = this.#own.pop()
    return number === undefined
      ? this.#create(mark)
      : this.#send('DELETE', `/${number}`, undefined, [`item.deleted ${number}`])
  }

  #import(mark: string) {
    const numbers = Array.from({ length: this.random.between(5, 100) }, (_, i) => `${mark}-${i}`)
    const rows = numbers.map((number) => JSON.stringify({ part_number: number })).join('\n')
    const marks = numbers.map((number) => `item.created ${number}`)
    return this.#send('POST', '/import', rows, marks, { 'content-type': 'application/x-ndjson' })
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
    marks: string[],
    headers: Record<string, string> = {},
  ) {
    try {
      const response = await fetch(`${this.origin()}/api/items${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        signal: AbortSignal.timeout(10_000),
      })
      await response.arrayBuffer()
      return { outcome: outcomeOf(response.status), marks }
    } catch {
      return { outcome: 'unknown' as const, marks }
    }
  }
}

/** Edits its own item through a proxy that compresses, with the entity tags that the proxy returns. */
export class ConditionalWriter extends Writer {
  readonly problems: string[] = []
  #isThere = false

  constructor(
    name: string,
    random: Random,
    readonly origin: () => string,
    readonly token: string,
  ) {
    super(name, random)
  }

  protected async write(mark: string): Promise<Omit<Write, 'began' | 'ended'>> {
    try {
      return await this.#edit(mark)
    } catch {
      return { outcome: 'unknown', marks: [mark] }
    }
  }

  async #edit(mark: string): Promise<Omit<Write, 'began' | 'ended'>> {
    if (!this.#isThere) {
      const created = await this.#send('POST', '/api/items', { part_number: this.name })
      this.#isThere = created.status === 201 || created.status === 409
    }
    const item = `/api/items/${this.name}`
    const read = await this.#send('GET', item)
    // A restore has undone the creation.
    if (read.status === 404) this.#isThere = false
    const { etag } = read
    if (read.status !== 200 || etag === null) return { outcome: 'refused', marks: [mark] }
    const { status } = await this.#send(
      'PUT',
      item,
      { description: mark, comment: mark },
      { 'if-match': etag },
    )
    if (status === 412) await this.#judgeRefusal(etag)
    return { outcome: outcomeOf(status), marks: [mark] }
  }

  /** Records a problem if the item still has the refused tag: no other client edits this item. */
  async #judgeRefusal(etag: string): Promise<void> {
    const again = await this.#send('GET', `/api/items/${this.name}`)
    if (again.etag === etag)
      this.problems.push(`${this.name}: the tag ${etag} was refused and is still the item's`)
  }

  async #send(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
    const response = await fetch(`${this.origin()}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    await response.arrayBuffer()
    return { status: response.status, etag: response.headers.get('etag') }
  }
}

/**
 * Returns the outcome for a status. A 5xx, even from a gateway, does not say whether the write was committed.
 */
function outcomeOf(status: number): Write['outcome'] {
  if (status < 300) return 'acknowledged'
  return status < 500 ? 'refused' : 'unknown'
}

/**
 * Writes as a user of psql does: in transactions that are slow, rolled back, or idle after they have drawn
 * event ids.
 */
export class SqlWriter extends Writer {
  constructor(
    name: string,
    random: Random,
    readonly sql: Sql,
    /** Whether transactions may roll back after drawing event ids, which the log then never contains. */
    readonly leavesHoles: boolean,
  ) {
    super(name, random)
  }

  protected async write(mark: string): Promise<Omit<Write, 'began' | 'ended'>> {
    const rollBack = this.random.chance(0.3)
    const drawEarly = this.random.chance(0.3) && (this.leavesHoles || !rollBack)
    const idleSeconds = this.random.chance(0.02) ? 2 : this.random.next() * 0.2
    const number = this.random.pick(SQL_ITEMS)
    // One simple query instead of `sql.begin`: the driver crashes on a query over a reserved connection that
    // was terminated (porsager/postgres#1208).
    const transaction = `
      begin;
      select set_config('silo.comment', '${mark}', true);
      insert into items (part_number) values ('${number}') on conflict do nothing;
      update items set description = '${mark}' where part_number = '${number}';
      ${drawEarly ? 'set constraints all immediate;' : ''}
      select pg_sleep(${idleSeconds});
      ${rollBack ? 'rollback' : 'commit'};
    `
    try {
      await within(SQL_DEADLINE_MS, this.sql.unsafe(transaction))
      return { outcome: rollBack ? 'refused' : 'acknowledged', marks: [mark] }
    } catch {
      return { outcome: rollBack ? 'refused' : 'unknown', marks: [mark] }
    }
  }
}

import t from 'tap'
import { Site, logId } from '../harness/site.js'
import { eventually } from '../../tools/harness/eventually.js'
import type { Watcher } from '../harness/watcher.js'

const WRITES = 500
const WRITERS = 8
const KILLED_AFTER = 200

/** A log entry that an acknowledged write must have produced. */
type Promised = [type: string, part_number: string, revision: number | null]

/** Follows the feed across restarts of the service, resuming each time after its last id. */
class Follower {
  readonly #lives: Watcher[] = []

  constructor(readonly site: Site) {}

  async join(origin: string): Promise<void> {
    const lastId = this.#lives.at(-1)?.lastId
    this.#lives.push(await this.site.watch(origin, lastId))
  }

  get ids(): number[] {
    return this.#lives.flatMap(({ events }) => events.map(logId))
  }

  /** Whether the first connection was closed before its response was complete. */
  get wasCut(): boolean {
    return this.#lives[0]?.endedCleanly === false
  }

  /** Whether any connection received a reset. */
  get wasReset(): boolean {
    return this.#lives.some(({ seen }) => seen.some(({ type }) => type === 'reset'))
  }
}

/**
 * Sends the nth write: an even one creates an item, an odd one changes one of five items.
 * @returns the log entries that the response promises; empty if the write was refused
 */
async function write(site: Site, origin: string, n: number): Promise<Promised[]> {
  if (n % 2 === 0) {
    const res = await site.send('POST', `${origin}/api/items`, { part_number: `C-${n}` })
    await res.text()
    return res.status === 201 ? [['item.created', `C-${n}`, null]] : []
  }
  const part_number = `P-${n % 5}`
  const change = { description: `write ${n}`, comment: `write ${n}` }
  const res = await site.send('PUT', `${origin}/api/items/${part_number}`, change)
  if (res.status !== 200) return []
  const { revision } = (await res.json()) as { revision: number }
  return [
    ['item.updated', part_number, revision],
    ['revision.created', part_number, revision],
  ]
}

t.test(
  'after kill -9 during 500 writes the log has every acknowledged write, and a subscriber missed none',
  async (t) => {
    const site = await Site.open(t)
    await site.sql`insert into items (part_number) select 'P-' || n from generate_series(0, 4) n`
    const first = await site.start()
    const followers = Array.from({ length: 3 }, () => new Follower(site))
    for (const follower of followers) await follower.join(first.origin)

    let next = 0
    let restarted: Promise<string> | undefined
    let origin = first.origin
    const acknowledged: Promised[][] = []
    let lost = 0

    async function restart(): Promise<string> {
      t.equal(await first.service.kill('SIGKILL'), 'SIGKILL')
      origin = (await site.start()).origin
      for (const follower of followers) await follower.join(origin)
      return origin
    }

    async function writer(): Promise<void> {
      while (next < WRITES) {
        const n = next++
        try {
          const promised = await write(site, origin, n)
          if (promised.length === 0) t.fail(`write ${n} was refused`)
          acknowledged.push(promised)
          if (acknowledged.length === KILLED_AFTER) restarted = restart()
        } catch {
          // The outcome of this write is unknown: only acknowledged writes are promised.
          lost += 1
          await restarted
        }
      }
    }
    await Promise.all(Array.from({ length: WRITERS }, writer))
    await restarted
    t.ok(lost > 0, `${lost} writes got no response`)
    t.ok(acknowledged.length >= WRITES - WRITERS * 2, `${acknowledged.length} writes were acknowledged`)

    const log = (await site.readLog()).slice(5)
    const entries = log.map(({ type, part_number, data }) =>
      JSON.stringify([type, part_number, data.revision ?? data.revision_number ?? null]),
    )
    const distinct = new Set(entries)
    t.equal(distinct.size, entries.length, 'no entry is in the log twice')
    t.strictSame(
      acknowledged.flat().filter((promised) => !distinct.has(JSON.stringify(promised))),
      [],
      'every acknowledged write is in the log',
    )

    const ids = log.map(({ id }) => id)
    for (const follower of followers) {
      await eventually('the followers', () => follower.ids.length >= ids.length)
      t.strictSame(follower.ids, ids, 'each event once, in the order of the log')
      t.ok(follower.wasCut, 'the first connection was closed by the kill')
      t.notOk(follower.wasReset)
    }
  },
)

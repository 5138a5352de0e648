import t from 'tap'
import { seededRandom } from '../harness/seed.js'
import { Site, logId } from '../harness/site.js'

const WRITES = 300
const WRITERS = 4

t.test('a change made through either of two instances reaches the subscribers of both', async (t) => {
  const site = await Site.open(t)
  const [one, two] = await Promise.all([site.start(), site.start()])
  const watchers = await Promise.all([one, two, one, two].map(({ origin }) => site.watch(origin)))

  t.equal((await site.send('POST', `${one.origin}/api/items`, { part_number: 'A' })).status, 201)
  t.equal((await site.send('PUT', `${two.origin}/api/items/A`, { description: 'changed' })).status, 200)
  t.equal((await site.send('DELETE', `${one.origin}/api/items/a`)).status, 204)

  for (const watcher of watchers) {
    await watcher.untilEvents(4)
    t.strictSame(
      watcher.events.map(({ type }) => type),
      ['item.created', 'item.updated', 'revision.created', 'item.deleted'],
    )
    t.strictSame(watcher.events, watchers[0]?.events, 'with the same ids on both')
  }
})

t.test('a client that alternates between two instances receives each event exactly once', async (t) => {
  const site = await Site.open(t)
  const [one, two] = await Promise.all([
    site.start({ HEARTBEAT_MS: '1000' }),
    site.start({ HEARTBEAT_MS: '1000' }),
  ])
  const origins = [one.origin, two.origin]
  const random = seededRandom(t)

  let next = 0
  async function writer(): Promise<void> {
    while (next < WRITES) {
      const n = next++
      const body = { part_number: `H-${n}` }
      const res = await site.send('POST', `${random.pick(origins)}/api/items`, body)
      if (res.status !== 201) t.fail(`${res.status}: ${await res.text()}`)
      await res.text()
    }
  }

  const seen: number[] = []
  async function hop(): Promise<void> {
    while (seen.length < WRITES) {
      const watcher = await site.watch(random.pick(origins), lastId)
      const wanted = Math.min(random.between(1, 16), WRITES - seen.length)
      await watcher.untilEvents(wanted)
      await watcher.close()
      // Ignore further events of the same chunk, as if the connection had been lost after these.
      const taken = watcher.events.slice(0, wanted)
      lastId = taken.at(-1)?.id
      seen.push(...taken.map(logId))
      t.notOk(
        watcher.seen.some(({ type }) => type === 'reset'),
        `hop at ${seen.length}`,
      )
    }
  }

  // The first cursor is read before the first write.
  let { lastId } = await site.watch(one.origin)
  await Promise.all([hop(), ...Array.from({ length: WRITERS }, writer)])
  t.strictSame(
    seen,
    (await site.readLog()).map(({ id }) => id),
  )
})

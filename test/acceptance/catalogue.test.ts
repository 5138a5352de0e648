import t from 'tap'
import { readCatalogue } from '../harness/catalogue.js'
import { Site } from '../harness/site.js'

const PARTS = 86

t.test('a catalogue imported in one request is delivered live by every instance', async (t) => {
  const { csv, published } = readCatalogue()
  if (!published)
    t.comment('the published catalogue is not available: a generated one of the same format is used')
  const site = await Site.open(t)
  const [one, two] = await Promise.all([site.start(), site.start()])
  const watchers = await Promise.all([one, two, one, two, one, two].map(({ origin }) => site.watch(origin)))
  const load = async (query = '') => {
    const res = await site.send('POST', `${one.origin}/api/items/import${query}`, csv, 'text/csv')
    t.equal(res.status, 200)
    return res.json()
  }

  const nothing = { created: 0, updated: 0, skipped: 0, unchanged: 0, errors: [] }
  t.strictSame(await load(), { ...nothing, created: PARTS })
  for (const watcher of watchers) {
    await watcher.untilEvents(PARTS)
    t.ok(watcher.events.every(({ type, data }) => type === 'item.created' && data.actor === 'mara'))
    t.equal(new Set(watcher.events.map(({ data }) => data.part_number)).size, PARTS)
    t.strictSame(
      watcher.events,
      watchers[0]?.events,
      'every subscriber receives the same events in the same order',
    )
  }

  const found = await site.send('GET', `${two.origin}/api/items?search=gantry&limit=500`)
  const { items } = (await found.json()) as { items: { part_number: string; description: string }[] }
  const named = watchers[0]?.events
    .map(({ data }) => ({ part_number: String(data.part_number), description: String(data.description) }))
    .filter(({ part_number, description }) => /gantry/i.test(`${part_number} ${description}`))
  t.strictSame(
    items.map(({ part_number }) => part_number).sort(),
    named?.map(({ part_number }) => part_number).sort(),
    'the search finds exactly the items whose number or description has the word',
  )
  t.ok(items.length >= 2)

  for (const query of ['', '?on_conflict=update', '?on_conflict=skip']) {
    t.strictSame(await load(query), { ...nothing, unchanged: PARTS }, `again${query}`)
  }
  t.equal((await site.send('POST', `${two.origin}/api/items`, { part_number: 'NEXT-1' })).status, 201)
  for (const watcher of watchers) {
    await watcher.untilEvents(PARTS + 1)
    t.match(
      watcher.events.slice(PARTS),
      [{ type: 'item.created', data: { part_number: 'NEXT-1' } }],
      'importing the file again creates no event',
    )
  }
})

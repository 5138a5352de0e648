import t from 'tap'
import { Filter, type Filterable } from '../../feed/filter.js'
import { checkOf } from '../../lib/check.js'
import { encodeEntries } from '../../feed/frame.js'
import { Segment } from '../../feed/segment.js'
import { Slices } from '../../feed/slices.js'

const EVENTS = 1024
const BEGINNING = { id: 0, check: '00000000' }

function segment(slices: Slices): Segment {
  const events = Array.from({ length: EVENTS }, (_, i) => ({
    id: i + 1,
    check: checkOf(i + 1, ''),
    type: 'item.created' as const,
    part_number: `S-${i}`,
    data: Buffer.from(JSON.stringify({ description: 'x'.repeat(1000) })),
  }))
  return new Segment(slices, BEGINNING, 0, EVENTS, encodeEntries('0123abcd', events))
}

/** The cursor after each write of a connection that starts at `cursor`. */
function places(segment: Segment, cursor: number): number[] {
  const reached: number[] = []
  while (cursor < segment.head) {
    cursor = segment.slice(cursor, Filter.everything).cursor
    reached.push(cursor)
  }
  return reached
}

/** The cursors that are not at the beginning of a block. */
function placesAmidBlocks(segment: Segment): number[] {
  const ends = new Set([0, ...places(segment, 0)])
  return Array.from({ length: EVENTS }, (_, cursor) => cursor).filter((cursor) => !ends.has(cursor))
}

t.test('connections at the same cursor share one slice', async (t) => {
  const one = segment(new Slices())
  t.equal(one.slice(5, Filter.everything), one.slice(5, Filter.everything))
  t.not(one.slice(5, Filter.everything), one.slice(5, new Filter({ types: ['item.created'] })))
})

t.test('the memory of shared slices is bounded, whatever the cursors and filters', async (t) => {
  const slices = new Slices()
  const segments = [segment(slices), segment(slices)]
  const filters = [Filter.everything, new Filter({ types: ['item.created'] })]
  const cut = segments.flatMap((segment) =>
    filters.flatMap((filter) =>
      placesAmidBlocks(segment).map((cursor) => ({
        segment,
        filter,
        cursor,
        block: segment.slice(cursor, filter).block,
      })),
    ),
  )
  // Begin with the newest: reading an evicted slice creates it again, and evicts others.
  let kept = 0
  for (const { segment, cursor, filter, block } of cut.reverse()) {
    if (segment.slice(cursor, filter).block !== block) break
    kept += block?.chunked.length ?? 0
  }
  t.ok(kept > 1024 * 1024, `${kept} bytes`)
  t.ok(kept <= 16 * 1024 * 1024, `${kept} bytes`)
})

t.test('a connection that starts in the middle of a block soon shares the common blocks', async (t) => {
  const one = segment(new Slices())
  const [first = 0, second = 0, ...others] = places(one, 0)
  t.strictSame(places(one, first + 3), [second, ...others])
})

t.test('a whole block is sent without being copied, whatever was sliced since', async (t) => {
  const slices = new Slices()
  const one = segment(slices)
  const { block } = one.slice(0, Filter.everything)
  for (const other of [one, segment(slices)])
    for (const cursor of placesAmidBlocks(other)) other.slice(cursor, Filter.everything)
  t.ok(block)
  t.equal(one.slice(0, Filter.everything).block, block)
  t.equal(one.slice(0, new Filter({ types: ['item.created'] })).block, block)
})

t.test('each filter is evaluated once for each event, however many filters there are', async (t) => {
  const one = segment(new Slices())
  let asked = 0
  class Counted extends Filter {
    override matches(event: Filterable): boolean {
      asked++
      return super.matches(event)
    }
  }
  const filters = Array.from({ length: 100 }, (_, n) => new Counted({ partNumbers: ['S-*', `OTHER-${n}`] }))
  for (const filter of filters)
    for (let cursor = 0; cursor < EVENTS;) cursor = one.slice(cursor, filter).cursor
  const first = asked
  for (const filter of filters)
    for (let cursor = 0; cursor < EVENTS;) cursor = one.slice(cursor, filter).cursor
  t.ok(first >= 100 * EVENTS)
  t.equal(asked, first)
})

t.test('a write has whole frames, each once, and does not exceed its size limit', async (t) => {
  const one = segment(new Slices())
  let cursor = 7
  let text = ''
  while (cursor < EVENTS) {
    const { block, cursor: reached } = one.slice(cursor, new Filter({ partNumbers: ['S-1*'] }))
    t.ok((block?.plain.length ?? 0) <= 32 * 1024)
    text += String(block?.plain ?? '')
    cursor = reached
  }
  const ids = [...text.matchAll(/^id: 0123abcd-(\d+)-[0-9a-f]{8}$/gm)].map(([, id]) => Number(id))
  const due = Array.from({ length: EVENTS }, (_, i) => i + 1).filter(
    (id) => id > 7 && `${id - 1}`.startsWith('1'),
  )
  t.strictSame(ids, due)
})

t.test('for any events and any filter, exactly the matching events are sent', async (t) => {
  const letters = ['', 'a', 'b', 'A-', 'B-', 'a-b', 'ab']
  const some = <Value>(values: readonly Value[], seed: number) => values.filter((_, i) => (seed >> i) & 1)
  // Blocks of a few events each, with few or many different part numbers.
  const numbers = Array.from(
    { length: 400 },
    (_, i) => `${letters[(i >> 5) % 7] ?? ''}${(i * i) % (1 + (i >> 3))}`,
  )
  const events = numbers.map((part_number, i) => ({
    id: i + 1,
    check: checkOf(i + 1, ''),
    type: i % 50 < 30 ? ('item.created' as const) : ('item.updated' as const),
    part_number,
    data: Buffer.from('x'.repeat(9000)),
  }))
  const one = new Segment(new Slices(), BEGINNING, 0, events.length, encodeEntries('0123abcd', events))
  const wrong: string[] = []
  let filters = 0
  for (let seed = 0; seed < 1024; seed++) {
    const filter = new Filter({
      types: seed & 1 ? some(['item.created', 'item.updated', 'item.deleted'], seed >> 1) : undefined,
      partNumbers: some([...letters.map((begin) => `${begin}*`), 'a1', 'B-2', 'AB0'], seed * 7),
    })
    let text = ''
    for (let cursor = 0; cursor < one.head;) {
      const slice = one.slice(cursor, filter)
      text += String(slice.block?.plain ?? '')
      cursor = slice.cursor
    }
    const due = [...one.after(0)].filter((entry) => filter.matches(entry)).map(({ id }) => id)
    const sent = [...text.matchAll(/^id: 0123abcd-(\d+)-[0-9a-f]{8}$/gm)].map(([, id]) => Number(id))
    if (sent.join() !== due.join()) wrong.push(filter.key)
    if (due.length > 0 && due.length < events.length) filters++
  }
  t.strictSame(wrong, [])
  t.ok(filters > 300, `${filters} filters matched some events`)
})

import t from 'tap'
import { Filter } from '../../feed/filter.js'
import { encodeEntries } from '../../feed/frame.js'
import { Segment } from '../../feed/segment.js'
import { Slices } from '../../feed/slices.js'

const EVENTS = 1024

function segment(slices: Slices): Segment {
  const events = Array.from({ length: EVENTS }, (_, i) => ({
    id: i + 1,
    type: 'item.created' as const,
    part_number: `S-${i}`,
    data: JSON.stringify({ description: 'x'.repeat(1000) }),
    actor: 'somebody',
    at: new Date(0),
  }))
  return new Segment(slices, 0, EVENTS, encodeEntries('0123abcd', events))
}

t.test('connections at one place share what they are sent', async (t) => {
  const one = segment(new Slices())
  t.equal(one.slice(5, Filter.everything), one.slice(5, Filter.everything))
  t.not(one.slice(5, Filter.everything), one.slice(5, new Filter({ types: ['item.created'] })))
})

t.test(
  'what is kept for that is bounded, at however many places and by whatever filters they read',
  async (t) => {
    const slices = new Slices()
    const segments = [segment(slices), segment(slices)]
    const filters = [Filter.everything, new Filter({ types: ['item.created'] })]
    const cut = segments.flatMap((segment) =>
      filters.flatMap((filter) =>
        Array.from({ length: EVENTS }, (_, cursor) => ({
          segment,
          filter,
          cursor,
          slice: segment.slice(cursor, filter),
        })),
      ),
    )
    // From the newest: asking for what is gone makes it anew, and drives others out.
    let kept = 0
    for (const { segment, cursor, filter, slice } of cut.reverse()) {
      if (segment.slice(cursor, filter) !== slice) break
      kept += slice.block?.chunked.length ?? 0
    }
    t.ok(kept > 1024 * 1024, `${kept} bytes`)
    t.ok(kept <= 16 * 1024 * 1024, `${kept} bytes`)
  },
)

import t from 'tap'
import { findCursor } from '../../lib/cursor-parameters.js'

const header = (...values: string[]) => values.flatMap((value) => ['Last-Event-ID', value])

t.test('the Last-Event-ID header precedes the parameter of polyfills, and that since', async (t) => {
  const url = '/api/events?since=a&lastEventId=b'
  t.strictSame(findCursor(['Host', 'x', ...header('c')], url), { cursor: 'c' })
  t.strictSame(findCursor([], url), { cursor: 'b' })
  t.strictSame(findCursor([], '/api/events?since=a&types=b'), { cursor: 'a' })
  t.strictSame(findCursor([], '/api/events'), { cursor: undefined })
})

t.test('the name of a parameter is matched without regard to case, _ and -', async (t) => {
  for (const name of [
    'lastEventId',
    'last_event_id',
    'Last-Event-ID',
    'LASTEVENTID',
    'last%5Fevent_id',
    'evs_last_event_id',
  ]) {
    t.strictSame(findCursor([], `/api/events?since=a&${name}=b`), { cursor: 'b' }, name)
  }
  for (const name of ['Since', 'SINCE', '_since', 'si-nce']) {
    t.strictSame(findCursor([], `/api/events?${name}=b`), { cursor: 'b' }, name)
  }
  t.strictSame(findCursor([], '/api/events?lastEvent=a&id=b&since2=c'), { cursor: undefined })
})

t.test('an empty value counts as absent, in the header and in the query', async (t) => {
  t.strictSame(findCursor(header(''), '/?lastEventId=&since=a'), { cursor: 'a' })
  t.strictSame(findCursor(header('', ' '), '/?lastEventId=b&last_event_id=&since=a'), { cursor: 'b' })
  t.strictSame(findCursor(header(''), '/?since='), { cursor: undefined })
})

t.test('the last value of a repeated parameter counts', async (t) => {
  t.strictSame(findCursor([], '/?since=a&since=b'), { cursor: 'b' })
  t.strictSame(findCursor([], '/?lastEventId=a&last_event_id=b&lastEventId=c&since=d'), { cursor: 'c' })
})

t.test(
  'a repeated header with equal values counts once, and with different values is a conflict',
  async (t) => {
    t.strictSame(findCursor(header('a', 'a'), '/'), { cursor: 'a' })
    t.strictSame(findCursor(['last-event-id', 'a, a', 'LAST-EVENT-ID', 'a'], '/'), { cursor: 'a' })
    t.strictSame(findCursor(header('a', 'b'), '/?since=a'), { conflict: 'last-event-id' })
    t.strictSame(findCursor(header('a,b'), '/'), { conflict: 'last-event-id' }, 'joined by an intermediary')
  },
)

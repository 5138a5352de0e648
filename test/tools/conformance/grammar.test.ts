import t, { type Test } from 'tap'
import { type Dispatched, StreamReader } from '../../../tools/conformance/grammar.js'

/** Parses a stream in one piece and byte by byte, and asserts that the results are equal. */
function read(t: Test, stream: string | Buffer) {
  const bytes = Buffer.from(stream)
  const whole = new StreamReader()
  const events = whole.feed(bytes)
  const slow = new StreamReader()
  const slowly: Dispatched[] = []
  for (let i = 0; i < bytes.length; i++) slowly.push(...slow.feed(bytes.subarray(i, i + 1)))
  t.strictSame(slowly, events, 'chunk boundaries make no difference')
  t.strictSame([...slow.violations, ...slow.malformed], [...whole.violations, ...whole.malformed])
  t.equal(slow.isAtBoundary, whole.isAtBoundary)
  const { lastId, retryMs, isAtBoundary } = whole
  const complaints = [...whole.malformed, ...whole.violations]
  return { events, complaints, lastId, retryMs, isAtBoundary }
}

t.test('the examples of WHATWG HTML, section 9.2.6, give the events that it states', async (t) => {
  t.strictSame(read(t, 'data: YHOO\ndata: +2\ndata: 10\n\n').events, [
    { id: undefined, type: 'message', data: 'YHOO\n+2\n10' },
  ])
  const four = read(
    t,
    ': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n',
  )
  t.strictSame(four.events, [
    { id: '1', type: 'message', data: 'first event' },
    { id: '', type: 'message', data: 'second event' },
  ])
  t.equal(four.lastId, '')
  t.equal(four.isAtBoundary, false, 'the third event is incomplete')
  t.strictSame(
    read(t, 'data\n\ndata\ndata\n\ndata:').events.map(({ data }) => data),
    ['', '\n'],
  )
  t.strictSame(
    read(t, 'data:test\n\ndata: test\n\n').events.map(({ data }) => data),
    ['test', 'test'],
  )
})

t.test('LF, CR and CRLF each end a line, also when mixed', async (t) => {
  for (const end of ['\n', '\r', '\r\n']) {
    const { events, complaints } = read(t, `data: a${end}data: b${end}${end}id: 2${end}data: c${end}${end}:`)
    t.strictSame(
      events.map(({ id, data }) => [id, data]),
      [
        [undefined, 'a\nb'],
        ['2', 'c'],
      ],
    )
    t.strictSame(complaints, [])
  }
  t.strictSame(
    read(t, 'data: a\r\ndata: b\rdata: c\n\r\n:').events.map(({ data }) => data),
    ['a\nb\nc'],
  )
})

t.test('comments, retry, a byte order mark at the beginning and an id alone are valid', async (t) => {
  const { complaints, retryMs, lastId, events } = read(
    t,
    '\uFEFF: hello\nretry: 3000\n\nid: 7\n\ndata: x\uFEFFy\u2028\n\n',
  )
  t.strictSame(complaints, [])
  t.equal(retryMs, 3000)
  t.equal(lastId, '7')
  t.strictSame(events, [{ id: undefined, type: 'message', data: 'x\uFEFFy\u2028' }])
})

const complaints: [stream: string | Buffer, complaint: RegExp][] = [
  ['data: a\nb\n\n', /no client knows the field "b"/],
  ['Data: a\n\n', /no client knows the field "Data"/],
  [' data: a\n\n', /no client knows the field " data"/],
  ['event: x\n\n', /clients ignore the event "x": it has no data/],
  ['id: 1\0\ndata: a\n\n', /clients ignore an id that contains NUL/],
  ['id: 1\nid: 2\ndata: a\n\n', /one event has two id fields/],
  ['event: a\nevent: b\ndata: a\n\n', /one event has two event fields/],
  ['retry: 3s\n\n', /retry must consist of digits, not "3s"/],
  ['retry: -1\n\n', /retry must consist of digits/],
  ['data: a\n\n\uFEFFdata: b\n\n', /a byte order mark after its beginning/],
  [Buffer.from([...Buffer.from('data: '), 0xff, 0x0a, 0x0a]), /bytes that are not UTF-8/],
  [Buffer.from('data: ü\n\n', 'latin1'), /bytes that are not UTF-8/],
]
for (const [stream, complaint] of complaints) {
  t.test(`${JSON.stringify(stream.toString())} is reported as a violation`, async (t) => {
    t.match(read(t, stream).complaints[0], complaint)
  })
}

t.test('a stream is at a boundary only when no event is incomplete', async (t) => {
  for (const [stream, is] of [
    ['', true],
    ['data: a\n\n', true],
    [': comment\n', true],
    ['data: a\n', false],
    ['data: a\n\nid', false],
    ['data: a\n\n: com', false],
  ] as const) {
    t.equal(read(t, stream).isAtBoundary, is, JSON.stringify(stream))
  }
})

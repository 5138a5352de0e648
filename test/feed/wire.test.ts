import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { hostileTexts } from '../../tools/conformance/checks/texts.js'
import { parseCursor } from '../../feed/cursor.js'
import { checkOf } from '../../lib/check.js'
import { BOUNDS } from '../../schemas/bounds.js'
import type { Sql } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { parsers } from '../../tools/fuzz/parsers.js'
import { eventually } from '../../tools/harness/eventually.js'
import { listen } from '../harness/watcher.js'

const range = (from: number, to: number) =>
  String.fromCodePoint(...Array.from({ length: to - from + 1 }, (_, i) => from + i))

/** Texts that could break a stream. PostgreSQL itself rejects NUL and unpaired surrogates. */
const TEXTS = [
  ...Object.values(hostileTexts),
  range(0x01, 0x20),
  range(0x7f, 0xa0),
  'before\\0%00&#0;after',
  '\uFEFF',
  '\uFEFF\n\uFEFFdata: x',
  '\u200B\u2060\uFFFD\uFFFE\uFFFF\u{10FFFF}',
  '\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  '\n',
  '\r',
  'retry: 1\nretry:1\r:\r\ndata\nid\nevent',
  '🚀'.repeat(2000),
  '\\'.repeat(2000),
]
const LONG_COMMENT = '🚀\n'.repeat(2000)
const PART_NUMBERS = ['data', 'id', 'event', 'retry-1', '0', `9${'._-'.repeat(21)}`, 'Z'.repeat(64)]

/** The part of `text` that fits into a description. */
const describe = (text: string) => Array.from(text).slice(0, BOUNDS.description).join('')

/** Creates one item for each text, with the text in its description, comment and actor. */
async function write(sql: Sql): Promise<void> {
  for (const [i, text] of [...TEXTS, LONG_COMMENT].entries()) {
    const partNumber = PART_NUMBERS[i] ?? `T-${i}`
    await sql`
      with context as materialized (select set_config('silo.actor', ${text}, true))
      insert into items (part_number, description) select ${partNumber}, ${describe(text)} from context
    `
    await sql`
      with context as materialized (
        select set_config('silo.actor', ${text}, true), set_config('silo.comment', ${text}, true)
      )
      update items set description = '' from context where part_number = ${partNumber}
    `
  }
}

/** Reads the feed from its beginning as raw bytes, without the head of the response. */
async function readRaw(t: Test, origin: string, token: string, lastId: string): Promise<Buffer> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.write(`GET /api/events?since=earliest HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  let bytes = Buffer.alloc(0)
  while (!bytes.includes(`id: ${lastId}\n`) || !bytes.subarray(-2).equals(Buffer.from('\n\n'))) {
    const [more] = (await once(socket, 'data')) as [Buffer]
    bytes = Buffer.concat([bytes, more])
  }
  return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
}

async function readChunked(t: Test, origin: string, token: string, length: number): Promise<Buffer> {
  const { body } = await request(`${origin}/api/events?since=earliest`, {
    headers: { authorization: `Bearer ${token}` },
  })
  let bytes = Buffer.alloc(0)
  for await (const more of body) {
    bytes = Buffer.concat([bytes, more as Buffer])
    if (bytes.length >= length) break
  }
  return bytes
}

/**
 * Splits at random positions, even within a character, into pieces of 1 to `longest` bytes. The same seed
 * gives the same pieces.
 */
function cut(bytes: Buffer, longest: number, seed: number): Buffer[] {
  const pieces: Buffer[] = []
  let chance = seed
  for (let at = 0; at < bytes.length;) {
    chance = (chance * 48_271) % 2_147_483_647
    const length = 1 + (chance % longest)
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

t.test('every text in the database arrives unchanged in the bytes of a stream', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'viewer')
  await write(app.db)
  const log = await app.db<
    { id: number; type: string; part_number: string; data: object; text: string; at: Date }[]
  >`
    select id, type, part_number, data, data::text as text, at
      from events
     order by id
  `
  await eventually('the tail has everything', () => parseCursor(app.sse.head)?.id === log.at(-1)?.id)
  const raw = await readRaw(t, origin, token, app.sse.head)
  const [epoch] = app.sse.head.split('-')
  const truth = log.map(({ id, text, type, data, part_number, at }) => ({
    id: `${epoch}-${id}-${checkOf(id, text)}`,
    type,
    data: { ...data, part_number, at: at.toISOString() },
  }))

  t.test('the database holds what was written', async (t) => {
    const texts = [...TEXTS, LONG_COMMENT]
    const told = (type: string, name: string) =>
      truth.filter((event) => event.type === type).map(({ data }) => new Map(Object.entries(data)).get(name))
    t.strictSame(told('item.created', 'description'), texts.map(describe))
    t.strictSame(told('item.created', 'actor'), texts)
    t.strictSame(told('revision.created', 'comment'), texts)
    t.strictSame(told('item.updated', 'actor'), texts)
    t.strictSame(told('item.created', 'part_number').slice(0, PART_NUMBERS.length), PART_NUMBERS)
  })

  t.test('every byte conforms to the grammar (WHATWG HTML, section 9.2.5)', async (t) => {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
    t.ok(
      raw.every((byte) => byte === 0x0a || byte >= 0x20),
      'the only control character is the line feed',
    )
    const frame =
      /^id: [0-9a-f]{8}-\d+-[0-9a-f]{8}\nevent: (?:item|revision|server)\.[a-z]+\ndata: \{[^\n]*\}$/
    const [greeting = '', ...frames] = text.replace(/\n\n$/, '').split('\n\n')
    t.match(
      greeting,
      /^retry: \d{4}\nid: [0-9a-f]{8}-0-00000000\nevent: server\.state\ndata: \{"mode":"normal"\}$/,
    )
    t.equal(frames.length, truth.length)
    for (const each of frames) t.match(each, frame)
    t.strictSame(
      frames.map((each) => /^id: (.*)\nevent: (.*)/.exec(each)?.slice(1)),
      truth.map(({ id, type }) => [id, type]),
    )
  })

  t.test('the JSON of each event is that of JSON.stringify, with line separators escaped', async (t) => {
    const lines = raw.toString().split('\n')
    for (const line of lines.filter((line) => line.startsWith('data: '))) {
      const json = JSON.stringify(JSON.parse(line.slice('data: '.length)))
      const escape = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
      t.equal(line, `data: ${json.replaceAll(/[\u0085\u2028\u2029]/g, escape)}`)
    }
  })

  t.test('a chunked response has the same bytes', async (t) => {
    const chunked = await readChunked(t, origin, token, raw.length)
    const withoutRetry = (bytes: Buffer) => bytes.subarray(bytes.indexOf('\n'))
    t.ok(withoutRetry(chunked).equals(withoutRetry(raw)))
  })

  const seed = randomInt(1, 2 ** 31 - 1)
  const cuts = {
    'in one piece': [raw],
    'in small pieces': cut(raw, 16, seed),
    'in larger ones': cut(raw, 4096, seed),
  }
  const types = ['server.state', 'evil', 'heartbeat', 'reset', ...new Set(truth.map(({ type }) => type))]
  for (const [name, parse] of Object.entries(parsers)) {
    for (const [how, pieces] of Object.entries(cuts)) {
      t.test(`${name} parses them ${how}`, async (t) => {
        t.comment(`seed ${seed}`)
        const [state, ...seen] = await parse(pieces, types)
        t.match(state, { id: `${epoch}-0-00000000`, type: 'server.state', data: '{"mode":"normal"}' })
        t.strictSame(
          seen.map(({ id, type, data }) => ({ id, type, data: JSON.parse(data) as unknown })),
          truth,
        )
      })
    }
  }
})

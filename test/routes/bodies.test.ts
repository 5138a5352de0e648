import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { isHeldByDouble } from '../../lib/exact-number.js'
import { parseJson, parseStored, stringifyJson } from '../../lib/json.js'
import type { ImportResult } from '../../schemas/import.js'
import { startApp } from '../harness/app.js'
import { codeOf, clientAs } from '../harness/client.js'
import { measurePauses } from '../harness/pauses.js'

const JSON_TYPE = { 'content-type': 'application/json' }

async function start(t: Test) {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor', 'mara')
  const post = (payload: string | Buffer, headers: Record<string, string> = JSON_TYPE) =>
    send('POST', '/api/items', { payload, headers })
  return { app, send, post }
}

const detailOf = (res: { json(): { details: { field: string; message: string }[] } }) => res.json().details[0]

t.test('a body that is not UTF-8 gets a 400 that names the byte', async (t) => {
  const { app, post } = await start(t)
  const latin1 = await post(Buffer.from('{"part_number":"L","description":"grün"}', 'latin1'))
  t.equal(latin1.statusCode, 400)
  t.match(detailOf(latin1), { field: 'body', message: /byte 0xFC at offset 36/ })
  const cut = Buffer.from('{"part_number":"L","description":"gr\u00fc')
  t.match(detailOf(await post(cut.subarray(0, -1))), { message: /byte 0xC3 at offset 36/ })
  t.match(detailOf(await post(Buffer.from('{"part_number":"L"}', 'utf16le'))), { message: /UTF-16/ })
  for (const bytes of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80]]) {
    const body = Buffer.concat([
      Buffer.from('{"part_number":"L","description":"'),
      Buffer.from(bytes),
      Buffer.from('"}'),
    ])
    t.match(detailOf(await post(body)), { message: /at offset 34/ }, bytes.join())
  }
  t.equal((await app.db`select from items`).length, 0)
  t.equal((await post('\ufeff{"part_number":"BOM"}')).statusCode, 201, 'a byte order mark is ignored')
})

t.test('a compressed body, or one in another charset, gets a 415 with the reason', async (t) => {
  const { send, post } = await start(t)
  const body = '{"part_number":"Z"}'
  for (const coding of ['gzip', 'br', 'deflate', 'identity, gzip', 'x-unknown']) {
    const res = await post(gzipSync(body), { ...JSON_TYPE, 'content-encoding': coding })
    t.equal(res.statusCode, 415, coding)
    t.equal(codeOf(res), 'unsupported_media_type')
    t.match(res.body, /compressed/)
    t.equal(res.headers['accept-encoding'], 'identity')
  }
  for (const type of ['application/json', 'text/csv', 'application/x-ndjson']) {
    const url = type === 'application/json' ? '/api/items' : '/api/items/import'
    const res = await send('POST', url, {
      payload: body,
      headers: { 'content-type': `${type}; charset="ISO-8859-1"` },
    })
    t.equal(res.statusCode, 415, type)
    t.match(res.body, /iso-8859-1.*UTF-8/)
  }
  t.equal(
    (await post(body, { 'content-type': 'application/json; charset=UTF-8', 'content-encoding': 'identity' }))
      .statusCode,
    201,
  )
})

t.test('JSON with duplicate names, too deep or with too many values is refused unparsed', async (t) => {
  const { app, send, post } = await start(t)
  const refused = async (body: string, message: RegExp) => {
    const res = await post(body)
    t.equal(res.statusCode, 400)
    t.match(detailOf(res)?.message, message)
  }
  await refused('{"part_number":"A","part_number":"B"}', /a duplicate name/)
  await refused('{"part_number":"A","properties":{"\u00e9":1,"e\u0301":2}}', /a duplicate name/)
  await refused('{"part_number":"A","properties":{"e\\u0301":1,"\\u00e9":2}}', /a duplicate name/)
  await refused('{"part_number":"A","properties":{"a":"\\ud800"}}', /NUL or unpaired/)
  await refused('{"part_number":"A","properties":{"a":"\\u0000"}}', /NUL or unpaired/)
  const depth = 250_000
  await refused(
    `{"part_number":"A","properties":${'['.repeat(depth)}${']'.repeat(depth)}}`,
    /nested more than 40 levels deep/,
  )
  const many = JSON.stringify(Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`p${n}`, n])))
  const wide = `{"part_number":"A","properties":${many}}`
  const { longest } = await measurePauses(
    () => refused(wide, /more than 40000 values/),
    () => send('GET', '/api/items/none'),
  )
  t.ok(longest < 2000, `the event loop was blocked for ${longest} ms`)
  t.equal((await app.db`select from items`).length, 0)
})

const HELD = [
  '0',
  '-0',
  '0.1',
  '4.60',
  '9007199254740992',
  '-9007199254740991',
  '1e22',
  '6.02214076e23',
  '123456789.012345',
]
const NOT_HELD = [
  '9007199254740993',
  '12345678901234567890',
  '18014398509481984',
  '0.1234567890123456789',
  '1e400',
  '1e-400',
  '1.00000000000000001',
]

t.test(
  'a number that a double cannot represent is refused in JSON, NDJSON and CSV, with what to send instead',
  async (t) => {
    const { app, send, post } = await start(t)
    const take = (type: string, payload: string) =>
      send('POST', '/api/items/import', { payload, headers: { 'content-type': type } })
    for (const number of NOT_HELD) {
      const row = `{"part_number":"A","properties":{"a":{"n":[1,${number}]}}}`
      const res = await post(row)
      t.equal(res.statusCode, 400, number)
      t.match(detailOf(res), { field: 'properties.a.n.1', message: /send it as text/ })
      t.match((await take('application/x-ndjson', row)).body, /send it as text/)
      t.match(
        (await take('text/csv', `Part Number,Properties\nA,"{""n"":${number}}"\n`)).body,
        /send it as text/,
      )
    }
    t.equal((await app.db`select from items`).length, 0)
    for (const [n, number] of HELD.entries()) {
      t.equal((await post(`{"part_number":"H-${n}","properties":{"n":${number}}}`)).statusCode, 201, number)
    }
    t.equal(codeOf(await post('{"part_number":"A","properties":12345678901234567890}')), 'invalid_request')
  },
)

t.test(
  'a number that SQL has written is served unchanged, and survives PUT, revisions and imports',
  async (t) => {
    const { app, send } = await start(t)
    const stored =
      '{"n":12345678901234567890,"list":[0.1234567890123456789,1.10],"text":"12345678901234567890"}'
    await app.db.unsafe(`insert into items (part_number, properties) values ('SQL-1', '${stored}')`)
    const put = (payload: string) => send('PUT', '/api/items/SQL-1', { payload, headers: JSON_TYPE })
    const isWhole = async (body: string) => {
      t.match(body, '12345678901234567890')
      t.match(body, /\[0\.1234567890123456789,1\.10?\]/)
      t.notMatch(body, 'u0000')
    }
    for (const url of [
      '/api/items/SQL-1',
      '/api/items',
      '/api/items/SQL-1/revisions',
      '/api/items/SQL-1/revisions/1',
    ]) {
      await isWhole((await send('GET', url)).body)
    }
    await isWhole((await put('{"description":"other"}')).body)
    const changed = await put(
      stored.replace('}', ',"new":1}').replace(/^/, '{"properties":').replace(/$/, '}'),
    )
    t.equal(changed.statusCode, 200, changed.body)
    await isWhole(changed.body)
    const revised = { payload: `{"comment":"x","properties":${stored}}`, headers: JSON_TYPE }
    await isWhole((await send('POST', '/api/items/SQL-1/revisions', revised)).body)
    t.match(detailOf(await put(`{"properties":{"n":12345678901234567891}}`)), { field: 'properties.n' })
    t.match(detailOf(await put(`{"properties":{"other":12345678901234567890}}`)), {
      field: 'properties.other',
    })

    const csv = (await send('GET', '/api/items', { headers: { accept: 'text/csv' } })).body
    const take = (type: string, payload: string, query = '') =>
      send('POST', `/api/items/import${query}`, { payload, headers: { 'content-type': type } })
    t.match((await take('text/csv', csv)).json<ImportResult>(), { unchanged: 1, errors: [] })
    const row = `{"part_number":"sql-1","description":"again","properties":${stored}}`
    t.match((await take('application/x-ndjson', row, '?on_conflict=update')).json<ImportResult>(), {
      updated: 1,
    })
    await isWhole((await send('GET', '/api/items/SQL-1')).body)
    t.match((await take('text/csv', csv.replace('SQL-1', 'SQL-2'))).json<ImportResult>(), {
      errors: [{ row: 1, field: 'properties', message: /send it as text/ }],
    })
  },
)

t.test('no text of a client is served as a number', async (t) => {
  const { send } = await start(t)
  // Inside the service, a prefix marks numbers that a double can't hold.
  for (const name of ['\u0000000-9', '\u0000123', '\u0001123', '\u00011e400']) {
    const body = { part_number: 'A', description: 'x', [name]: 1 }
    t.match(detailOf(await send('POST', '/api/items', { payload: body })), { field: name })
    t.equal(stringifyJson([name]), JSON.stringify([name]))
  }
  const properties = { '\u0001123': '\u00011e400' }
  await send('POST', '/api/items', { payload: { part_number: 'A', properties } })
  t.match((await send('GET', '/api/items/A')).json(), { properties })
})

t.test('text is stored in NFC, and a row with another form of it is unchanged', async (t) => {
  const { send, post } = await start(t)
  const nfd = 'Geha\u0308use'
  const res = await post(
    JSON.stringify({ part_number: 'A', description: nfd, properties: { [nfd]: `\n${nfd}` } }),
  )
  const nfc = nfd.normalize('NFC')
  t.match(res.json(), { description: nfc, properties: { [nfc]: `\n${nfc}` } })
  const csv = `Part Number,Name,${nfd}\nA,${nfd},"\n${nfd}"\n`
  const again = await send('POST', '/api/items/import', {
    payload: csv,
    headers: { 'content-type': 'text/csv' },
  })
  t.match(again.json<ImportResult>(), { unchanged: 1, errors: [] })
})

t.test('any JSON value is parsed as by JSON.parse, and serialized unchanged', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      const value: unknown = JSON.parse(text)
      assert.deepEqual(parseStored(text), parseStored(stringifyJson(parseStored(text))))
      assert.equal(JSON.stringify(JSON.parse(stringifyJson(parseStored(text)))), JSON.stringify(value))
    }),
  )
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: -20, max: 20 }), (digits, exponent) => {
      const text = `${digits}e${exponent}`
      assert.ok(isHeldByDouble(text))
      assert.equal(parseJson(text), Number(text))
    }),
  )
  t.pass('100 values and 100 numbers')
})

import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { ImportResult } from '../../schemas/import.js'
import { createToken, startApp } from '../harness/app.js'
import { readCatalogue } from '../harness/catalogue.js'
import { type Send, codeOf, fieldsOf, readEvents, clientAs, waitForWaiters } from '../harness/client.js'
import { measurePauses } from '../harness/pauses.js'

interface Part {
  part_number: string
  item_type: string
  description: string
  long_description: string
  sourcing_type: string | null
  properties: Record<string, unknown>
  revision: number
}

interface Rejection extends ImportResult {
  error: string
  message: string
  details: { field: string; message: string }[]
}

async function start(t: Test) {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor', 'mara')
  return {
    app,
    send,
    importCsv: importing(send, 'text/csv'),
    importJson: importing(send, 'application/x-ndjson'),
  }
}

const importing =
  (send: Send, type: string) =>
  (payload: string | Buffer, query = '') =>
    send('POST', `/api/items/import${query}`, { payload, headers: { 'content-type': type } })

/** Generous, because the machine may be busy. The pauses that this detects took tens of seconds. */
const MAX_PAUSE_MS = 2000

const counts = (created: number, updated: number, skipped: number, unchanged: number) => ({
  created,
  updated,
  skipped,
  unchanged,
  errors: [],
})

t.test(
  'a catalogue is imported in one request, is found, and importing it again changes nothing',
  async (t) => {
    const { app, send, importCsv } = await start(t)
    const { csv: file, published } = readCatalogue()
    if (!published)
      t.comment('the published catalogue is not available: a generated one of the same format is used')
    const res = await importCsv(file)
    t.equal(res.statusCode, 200)
    t.strictSame(res.json(), counts(86, 0, 0, 0))
    const events = await readEvents(app.db)
    t.equal(events.length, 86)
    t.ok(events.every(([type, , actor]) => type === 'item.created' && actor === 'mara'))
    const found = (await send('GET', '/api/items?search=gantry')).json<{ items: Part[] }>().items
    t.ok(found.length >= 2)
    t.ok(found.every((item) => /gantry/i.test(item.part_number + item.description)))
    if (published) {
      const item = (await send('GET', '/api/items/csm-0001')).json<Part>()
      t.equal(item.description, 'Staging plate')
      t.match(item.properties, { Comment: '3mm thick laser cut steel', 'Source 1': 'Opulo' })
      t.notOk('Optional' in item.properties, 'an empty cell is left out')
    }
    for (const policy of ['error', 'skip', 'update']) {
      t.strictSame((await importCsv(file, `?on_conflict=${policy}`)).json(), counts(0, 0, 0, 86))
    }
    t.strictSame(await readEvents(app.db), events)
    t.equal((await app.db`select from revisions`).length, 86)
  },
)

t.test(
  'headers are matched without regard to case, space, dash and underscore; others are properties',
  async (t) => {
    const { send, importCsv } = await start(t)
    const csv = [
      '\ufeffPART_NUMBER,name,Item-Type,longdescription,SOURCING, Weight (kg) ,Type of steel,Properties',
      ' a-1 ,"x, ""y""\nz", Assembly ,more,Purchased, 1.5 ,S235,"{""n"":[1,null]}"',
      'a-2',
      '',
      ',,,,,,,',
    ].join('\r\n')
    t.strictSame((await importCsv(csv)).json(), counts(2, 0, 0, 0))
    t.match((await send('GET', '/api/items/A-1')).json<Part>(), {
      part_number: 'a-1',
      item_type: 'assembly',
      description: 'x, "y"\nz',
      long_description: 'more',
      sourcing_type: 'purchased',
      properties: { 'Weight (kg)': ' 1.5 ', 'Type of steel': 'S235', n: [1, null] },
    })
    t.match((await send('GET', '/api/items/a-2')).json<Part>(), {
      item_type: 'part',
      description: '',
      sourcing_type: null,
    })
  },
)

t.test('newline-delimited JSON has the fields under their names in the API', async (t) => {
  const { send, importJson } = await start(t)
  const lines = [
    {
      part_number: 'A',
      description: 'line\u2028separator',
      sourcing_type: 'manufactured',
      properties: { a: { b: 1 } },
    },
    { part_number: 'B' },
  ].map((line) => JSON.stringify(line))
  t.strictSame((await importJson(`${lines.join('\r\n')}\n\n`)).json(), counts(2, 0, 0, 0))
  t.match((await send('GET', '/api/items/A')).json<Part>(), {
    description: 'line\u2028separator',
    properties: { a: { b: 1 } },
  })
  const again = '{"part_number":"a","sourcing_type":null}'
  const type = 'application/jsonl; charset=utf-8'
  t.strictSame((await importing(send, type)(again, '?on_conflict=update')).json(), counts(0, 1, 0, 0))
  t.equal((await send('GET', '/api/items/A')).json<Part>().sourcing_type, null)

  const res = await importJson(
    '{"part_number":"C"}\nnull\n[]\n{"part_number"\n' +
      '{"part_number":"D","x":1}\n{"part_number":"E","__proto__":1}',
  )
  t.equal(res.statusCode, 422)
  t.strictSame(
    res.json<Rejection>().errors.map(({ row, field }) => [row, field]),
    [
      [2, 'body'],
      [3, 'body'],
      [4, 'row'],
      [5, 'x'],
      [6, 'row'],
    ],
  )
  t.equal((await send('GET', '/api/items/C')).statusCode, 404)
})

t.test('on_conflict decides about items that differ: error, skip or update', async (t) => {
  const { app, send, importCsv } = await start(t)
  await importCsv('Part Number,Name,Color,Size\nA,one,red,M\nB,two,blue,L\n')
  const before = await readEvents(app.db)
  const file = 'Part Number,Name,Color,Shape\na,ONE,,round\nB,two,blue,\nC,three,,\n'

  const refused = await importCsv(file)
  t.equal(refused.statusCode, 422)
  t.match(refused.json<Rejection>(), {
    error: 'import_rejected',
    created: 0,
    updated: 0,
    skipped: 0,
    unchanged: 0,
  })
  t.strictSame(refused.json<Rejection>().errors, [
    { row: 1, field: 'part_number', message: 'belongs to an existing item with other values' },
  ])
  t.strictSame(fieldsOf(refused), ['row 1: part_number'])
  t.strictSame(await readEvents(app.db), before, 'nothing was written')

  t.strictSame((await importCsv(file, '?on_conflict=update&dry_run=true')).json(), counts(1, 1, 0, 1))
  t.strictSame(await readEvents(app.db), before, 'a dry run writes nothing')

  t.strictSame((await importCsv(file, '?on_conflict=skip')).json(), counts(1, 0, 1, 1))
  t.equal((await send('GET', '/api/items/A')).json<Part>().description, 'one')

  t.strictSame((await importCsv(file, '?on_conflict=update')).json(), counts(0, 1, 0, 2))
  t.match((await send('GET', '/api/items/A')).json<Part>(), {
    part_number: 'A',
    description: 'ONE',
    properties: { Color: 'red', Size: 'M', Shape: 'round' },
    revision: 2,
  })
  t.strictSame((await readEvents(app.db)).slice(before.length), [
    ['item.created', 'C', 'mara', { description: 'three', item_type: 'part' }],
    ['item.updated', 'A', 'mara', { revision: 2 }],
    ['revision.created', 'A', 'mara', { revision_number: 2, comment: null }],
  ])
  t.equal((await importCsv(file, '?on_conflict=maybe')).statusCode, 400)
})

t.test(
  'every bad row is reported with its number, its field and the reason, and nothing is written',
  async (t) => {
    const { app, send, importCsv } = await start(t)
    await importCsv('Part Number,Name\nOLD,x\nGONE,y\n')
    await send('DELETE', '/api/items/GONE')
    const before = await readEvents(app.db)
    const res = await importCsv(
      [
        'Part Number,Name,Type,Sourcing,Properties,,Inches',
        'A,ok',
        'B C,space,thing',
        ',none',
        'a,again',
        'OLD,differs',
        'gone,archived',
        'D,x,part,,,stray',
        'E,x,part,,,,,wide',
        'F,x,part,,"[1]"',
        'G,x,part,,"{""__proto__"":1}"',
        'H,3/4" bolt and 1" nut,part',
        `I,${'x'.repeat(2001)}`,
        'J,nul\0',
        'K,x,part,bought',
        'L,never "closed',
        'M,"closed" early',
        'N,what follows is not told apart',
      ].join('\n'),
      '?on_conflict=error',
    )
    t.equal(res.statusCode, 422)
    const { errors } = res.json<Rejection>()
    t.strictSame(
      errors.map(({ row, field }) => [row, field]),
      [
        [2, 'part_number'],
        [2, 'item_type'],
        [3, 'part_number'],
        [4, 'part_number'],
        [5, 'part_number'],
        [6, 'part_number'],
        [7, 'column 6'],
        [8, 'row'],
        [9, 'properties'],
        [10, 'properties'],
        [11, 'row'],
        [12, 'description'],
        [13, 'description'],
        [14, 'sourcing_type'],
        [15, 'row'],
        [16, 'row'],
      ],
    )
    const reason = (row: number) => errors.find((error) => error.row === row)?.message
    t.match(reason(3), /is required/)
    t.match(reason(4), /is a duplicate of row 1/)
    t.match(reason(6), /archived/)
    t.match(reason(8), /8 cells, but the header has 7/)
    t.match(reason(11), /a quote inside an unquoted cell/)
    t.match(reason(16), /text after the closing quote/)
    t.strictSame(await readEvents(app.db), before)
  },
)

t.test('at most 1,000 bad rows are reported', async (t) => {
  const { importCsv } = await start(t)
  const res = await importCsv(`Part Number\n${'!\n'.repeat(1500)}`)
  t.equal(res.statusCode, 422)
  t.equal(res.json<Rejection>().errors.length, 1000)
  t.equal(res.json<Rejection>().errors.at(-1)?.row, 1000)
})

t.test('a file that cannot be used at all gets a 400, 413 or 415', async (t) => {
  const { app, send, importCsv, importJson } = await start(t)
  const header = async (csv: string) => {
    const res = await importCsv(csv)
    t.equal(res.statusCode, 400, csv)
    t.strictSame(fieldsOf(res), ['header'])
  }
  await header('')
  await header('Name\nx\n')
  await header('Part Number,Name,part-name\nA,x,y\n')
  await header('Part Number,Color, Color \nA,x,y\n')
  await header('Part Number,__proto__\nA,x\n')
  await header('"Part Number"x,Name\nA,x\n')
  const latin1 = await importCsv(Buffer.from('Part Number,Name\nA,Größe\n', 'latin1'))
  t.equal(latin1.statusCode, 400)
  t.match(latin1.body, /UTF-8/)
  t.equal(
    (await importCsv(Buffer.from([...Buffer.from('Part Number\nA'), 0xc3]))).statusCode,
    400,
    'truncated in a character',
  )
  t.match(
    (await importCsv(`Part Number,Name\nA,"${'x'.repeat(2 ** 21)}`)).body,
    /check for a quote that is not closed/,
  )
  t.match((await importJson('x'.repeat(2 ** 21))).body, /too long/)
  t.equal((await importCsv('x'.repeat(64 * 2 ** 20 + 1))).statusCode, 413)
  t.equal((await importCsv(`Part Number\n${'!\n'.repeat(10)}`, '?dry_run=perhaps')).statusCode, 400)
  for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x']) {
    t.equal(codeOf(await importing(send, type)('{}')), 'unsupported_media_type')
  }
  t.equal(codeOf(await send('POST', '/api/items/import')), 'unsupported_media_type')
  t.equal(
    (await send('POST', '/api/items/import', { headers: { 'content-type': 'text/csv' } })).statusCode,
    400,
  )
  t.strictSame(await readEvents(app.db), [])
})

t.test('a body without a stated length is refused at 64 MiB, and the response arrives', async (t) => {
  const { app } = await start(t)
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const authorization = `Bearer ${await createToken(app.db, 'editor')}`
  const request = httpRequest({
    port,
    method: 'POST',
    path: '/api/items/import',
    headers: { authorization, 'content-type': 'application/x-ndjson' },
  })
  const emptyLine = Buffer.from(`${' '.repeat(2 ** 16 - 1)}\n`)
  pipeline(Readable.from(Array.from({ length: 1200 }, () => emptyLine)), request, () => undefined)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  t.equal(response.statusCode, 413)
  t.equal(response.headers.connection, 'keep-alive', 'the rest of the body is read and discarded')
  t.match(await text(response), /payload_too_large/)
})

t.test('an import has at most 200,000 rows', async (t) => {
  const { app, importJson } = await start(t)
  const lines = Array.from({ length: 200_001 }, (_, n) => `{"part_number":"P-${n}"}`)
  const res = await importJson(lines.join('\n'))
  t.equal(res.statusCode, 413)
  t.match(res.body, /at most 200000 rows/)
  t.strictSame(await readEvents(app.db), [])
})

t.test('50,000 rows are imported in one request, and a second import finds them unchanged', async (t) => {
  const { app, importCsv } = await start(t)
  const rows = (name: string) => Array.from({ length: 50_000 }, (_, n) => `P-${n},${name} ${n},Opulo\n`)
  const csv = (name: string) => `Part Number,Name,Source\n${rows(name).join('')}`
  t.strictSame((await importCsv(csv('leg'))).json(), counts(50_000, 0, 0, 0))
  t.strictSame((await importCsv(csv('leg'))).json(), counts(0, 0, 0, 50_000))
  const [log] = await app.db<{ n: number }[]>`select count(*)::integer as n from events`
  t.equal(log?.n, 50_000)
})

t.test(
  'concurrent imports and creates of the same numbers create each once, and each import is whole or refused',
  async (t) => {
    const { app, send, importCsv } = await start(t)
    const numbers = Array.from({ length: 60 }, (_, n) => `R-${String(n).padStart(2, '0')}`)
    const file = (order: string[], name: string) =>
      `Part Number,Name\n${order.map((number) => `${number},${name}\n`).join('')}`
    const imports = Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        importCsv(
          file(n % 2 ? numbers : numbers.toReversed(), `by ${n}`),
          n < 4 ? '?on_conflict=update' : '',
        ),
      ),
    )
    const creates = Promise.all(
      numbers.map((part_number) =>
        send('POST', '/api/items', { payload: { part_number, description: 'alone' } }),
      ),
    )
    const answers = await imports
    t.ok((await creates).every((res) => [201, 409].includes(res.statusCode)))
    for (const res of answers) {
      t.ok([200, 409, 422, 503].includes(res.statusCode), res.body)
      if (res.statusCode !== 200) continue
      const { created, updated, unchanged } = res.json<ImportResult>()
      t.equal(created + updated + unchanged, 60)
    }
    t.equal((await app.db`select from items`).length, 60)
    const gaps = await app.db`
    select part_number
      from items
     where revision <> (select count(*) from revisions where item_id = items.id)
  `
    t.equal(gaps.length, 0, 'the revisions of each item have no gap')
  },
)

t.test('an import that waits for another transaction is judged by what that one has committed', async (t) => {
  const { app, send, importCsv } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A', description: 'zero' } })
  await send('POST', '/api/items', { payload: { part_number: 'B' } })
  /** Returns the result of an import that begins before `change` is committed, and ends after it. */
  async function importDuring(change: string, csv: string, query = ''): Promise<ImportResult> {
    const { answer } = await app.feedDb.begin(async (tx) => {
      await tx.unsafe(change)
      const answer = importCsv(csv, query)
      await waitForWaiters(app.feedDb, 1)
      return { answer }
    })
    return (await answer).json<ImportResult>()
  }
  const changed = "update items set description = 'one' where part_number = 'A'"
  t.strictSame(await importDuring(changed, 'Part Number,Name\nA,one\n'), counts(0, 0, 0, 1))
  const archived = "update items set archived_at = now() where part_number = 'B'"
  const refused = await importDuring(archived, 'Part Number,Name\nA,two\nB,two\n', '?on_conflict=update')
  t.strictSame(
    refused.errors.map(({ row, field }) => [row, field]),
    [[2, 'part_number']],
  )
  t.equal((await send('GET', '/api/items/A')).json<Part>().description, 'one')
  const created = "insert into items (part_number) values ('c')"
  t.strictSame(await importDuring(created, 'Part Number\nC\n'), counts(0, 0, 0, 1))
})

t.test('properties that exceed 64 KiB when merged are refused', async (t) => {
  const { send, importJson } = await start(t)
  const row = (name: string) =>
    JSON.stringify({ part_number: 'A', properties: { [name]: 'x'.repeat(40_000) } })
  t.strictSame((await importJson(row('a'))).json(), counts(1, 0, 0, 0))
  const res = await importJson(row('b'), '?on_conflict=update')
  t.equal(res.statusCode, 422)
  t.match(res.json<Rejection>().errors, [{ row: 1, field: 'properties' }])
  t.strictSame(Object.keys((await send('GET', '/api/items/A')).json<Part>().properties), ['a'])
})

t.test('every line end outside quotes ends a row: no value and no row is changed', async (t) => {
  const { send, importCsv } = await start(t)
  const file = 'Part Number,Part Name,Colour\nMIX-1,Bracket,red\r\nMIX-2,Plate,blue\rMIX-3,"a\r\nb",green\n'
  t.strictSame((await importCsv(file)).json(), counts(3, 0, 0, 0))
  const colour = async (number: string) => (await send('GET', `/api/items/${number}`)).json<Part>().properties
  t.strictSame(await colour('MIX-1'), { Colour: 'red' })
  t.strictSame(await colour('MIX-2'), { Colour: 'blue' })
  t.equal((await send('GET', '/api/items/MIX-3')).json<Part>().description, 'a\r\nb')
  const swallowing = 'Part Number,Part Name,Colour\r\nMRG-1,Bracket\nMRG-2,Plate\r\n'
  t.strictSame((await importCsv(swallowing)).json(), counts(2, 0, 0, 0))
  t.match((await send('GET', '/api/items/MRG-1')).json<Part>(), { description: 'Bracket', properties: {} })
})

t.test('a file in another encoding is refused with the byte, or the encoding, that shows it', async (t) => {
  const { importCsv, importJson } = await start(t)
  const reason = async (res: Promise<Awaited<ReturnType<typeof importCsv>>>) => {
    const answer = await res
    t.equal(answer.statusCode, 400)
    return answer.json<Rejection>().details[0]?.message
  }
  const csv = 'Part Number,Name\nA,grün\n'
  t.match(await reason(importCsv(Buffer.from(csv, 'latin1'))), /byte 0xFC at offset 21/)
  t.match(
    await reason(importJson(Buffer.from('{"part_number":"A","description":"grün"}', 'latin1'))),
    /byte 0xFC at offset 36/,
  )
  t.match(await reason(importCsv(Buffer.from(`\ufeff${csv}`, 'utf16le'))), /is UTF-16, not UTF-8/)
  t.match(await reason(importCsv(Buffer.from(csv, 'utf16le'))), /is UTF-16, not UTF-8/)
  t.match(await reason(importCsv(Buffer.from(`\ufeff${csv}`, 'utf16le').swap16())), /is UTF-16, not UTF-8/)
})

t.test('no file blocks the event loop for long, whatever its shape', async (t) => {
  const { app, send } = await start(t)
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const authorization = `Bearer ${await createToken(app.db, 'editor')}`
  const address = `http://127.0.0.1:${port}/api/items/import?dry_run=true`
  const post = async (type: string, body: Buffer<ArrayBuffer>) => {
    const response = await fetch(address, {
      method: 'POST',
      headers: { authorization, 'content-type': type },
      body,
    })
    await response.text()
    return response.status
  }
  const probe = () => send('GET', '/api/items/none')
  const million = ','.repeat(1_000_000)
  const columns = Array.from({ length: 1900 }, (_, n) => `c${n}`).join(',')
  const shapes: [name: string, type: string, body: string, status: number][] = [
    [
      'a header of a million empty columns',
      'text/csv',
      `Part Number${million}\n${'A,x\n'.repeat(20_000)}`,
      400,
    ],
    ['a row of a million cells', 'text/csv', `Part Number\nA${million}\n`, 400],
    [
      'rows shorter than a wide header',
      'text/csv',
      `Part Number,${columns}\n${rows(100_000, (n) => `A${n},x`)}`,
      200,
    ],
    ['a cell of quotes', 'text/csv', `Part Number\n${'x'.repeat(500_000)}${'"'.repeat(500_000)}`, 422],
    ['empty lines', 'text/csv', `Part Number\n${'\n'.repeat(4_000_000)}`, 200],
    [
      '100,000 objects',
      'application/x-ndjson',
      rows(100_000, (n) => `{"part_number":"A${n}","description":"leg"}`),
      200,
    ],
  ]
  for (const [name, type, text, status] of shapes) {
    const body = Buffer.from(text)
    const { longest, p99 } = await measurePauses(
      async () => t.equal(await post(type, body), status, name),
      probe,
    )
    t.comment(`${name}: longest pause ${longest.toFixed(0)} ms, another user's p99 ${p99.toFixed(0)} ms`)
    t.ok(longest < MAX_PAUSE_MS, `${name}: the event loop was blocked for ${longest} ms`)
  }
})

t.test('column names count in each row: the size of all rows as JSON is limited', async (t) => {
  const { importCsv } = await start(t)
  const columns = Array.from({ length: 1000 }, (_, n) => `column-${n}-${'x'.repeat(30)}`).join(',')
  const res = await importCsv(`Part Number,${columns}\n${rows(3000, (n) => `A${n}${',x'.repeat(1000)}`)}`)
  t.equal(res.statusCode, 413)
  t.match(res.body, /at most 128 MiB as JSON/)
})

function rows(count: number, row: (n: number) => string): string {
  return Array.from({ length: count }, (_, n) => `${row(n)}\n`).join('')
}

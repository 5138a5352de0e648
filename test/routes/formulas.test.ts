import assert from 'node:assert/strict'
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import t from 'tap'
import type { ImportResult } from '../../schemas/import.js'
import { startApp } from '../harness/app.js'
import { type Send, fieldsOf, clientAs } from '../harness/client.js'

interface Content {
  part_number: string
  description: string
  long_description: string
  properties: Record<string, unknown>
}

const CSV = { headers: { accept: 'text/csv' } }

const importing =
  (send: Send, type = 'text/csv') =>
  (payload: string) =>
    send('POST', '/api/items/import', { payload, headers: { 'content-type': type } })

/** Reads the content of the items that the search finds. */
async function readContents(send: Send, search: string): Promise<Content[]> {
  const { items } = (await send('GET', `/api/items?search=${search}&limit=500`)).json<{ items: Content[] }>()
  return items.map(({ part_number, description, long_description, properties }) => ({
    part_number,
    description,
    long_description,
    properties,
  }))
}

/** Texts that some spreadsheet interprets as formulas, or would without a leading apostrophe. */
const FORMULAS = [
  '=HYPERLINK("https://example.com")',
  '+1+cmd|x',
  '-1+2',
  '@SUM(1)',
  '\t=1',
  '\r=1',
  '\n=1',
  '\tx',
  '\rx',
  '\nx',
  ' =1',
  '\u00a0=1',
  '\u200b=1',
  '\ufeff=1',
  '\u0001=1',
  "'=1",
  "''=1",
  "' =1",
  "'\tx",
  "'-5",
  ' -5',
  '-5-5',
  '-5 mm',
  '--5',
  '＝1',
  '＋1',
  '－1',
  '＠x',
  '﹦1',
  '−5',
  '-',
]
const NO_FORMULAS = [
  '-5',
  '+1.5e3',
  '-.5',
  '+5.',
  '-2E-7',
  '5-5',
  'a=1',
  "'",
  "'a",
  "''",
  '"=1"',
  '/=1',
  '5',
  '{',
]
const TEXTS = [...FORMULAS, ...NO_FORMULAS]

t.test('a text that a spreadsheet would take for a formula gets an apostrophe in any column', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  for (const [n, text] of TEXTS.entries()) {
    const payload = {
      part_number: `P-${100 + n}`,
      description: text,
      long_description: text,
      properties: { Text: text },
    }
    t.equal((await send('POST', '/api/items', { payload })).statusCode, 201, JSON.stringify(text))
  }
  const read = async (query: string): Promise<string[][]> =>
    parse((await send('GET', `/api/items${query}`, CSV)).body, { record_delimiter: '\n' })
  for (const query of ['', '?formulas=escaped']) {
    const [header, ...rows] = await read(query)
    t.strictSame(header?.slice(-3), ['Text', 'properties', 'formulas_escaped'])
    for (const [n, text] of TEXTS.entries()) {
      const cell = FORMULAS.includes(text) ? `'${text}` : text
      t.strictSame(
        rows[n],
        [`P-${100 + n}`, 'part', cell, cell, '', cell, '', ''],
        `${query} ${JSON.stringify(text)}`,
      )
    }
  }
  const [header, ...rows] = await read('?formulas=plain')
  t.strictSame(header?.slice(-2), ['Text', 'properties'], 'a plain file has no formulas_escaped column')
  for (const [n, text] of TEXTS.entries()) {
    t.strictSame(rows[n]?.slice(2, 6), [text, text, '', text], `plain ${JSON.stringify(text)}`)
  }
})

t.test('a property whose name looks like a formula has no column, unless the file is plain', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  const hidden = { '=1+1': 'a', '@x': 'b', "'-x": 'c' }
  const mark = { 'formulas-escaped': 'd' }
  const properties = { ...hidden, ...mark, 'a=b': 'e', '-5': 'f' }
  await send('POST', '/api/items', { payload: { part_number: 'A', properties } })
  const read = async (query: string) => {
    const rows: string[][] = parse((await send('GET', `/api/items${query}`, CSV)).body)
    const [header = [], row = []] = rows
    return {
      columns: header.slice(5),
      others: JSON.parse(row[header.indexOf('properties')] ?? '') as unknown,
    }
  }
  const escaped = await read('')
  t.strictSame(escaped.columns.toSorted(), ['-5', 'a=b', 'formulas_escaped', 'properties'])
  t.strictSame(escaped.others, { ...hidden, ...mark })
  const plain = await read('?formulas=plain')
  t.strictSame(plain.columns.toSorted(), ["'-x", '-5', '=1+1', '@x', 'a=b', 'properties'])
  t.strictSame(plain.others, mark)
})

t.test('another value of formulas is refused, with the accepted ones', async (t) => {
  const send = await clientAs(await startApp(t), 'viewer')
  for (const value of ['no', '', 'Plain', 'plain%20']) {
    const res = await send('GET', `/api/items?formulas=${value}`, CSV)
    t.equal(res.statusCode, 400, value)
    t.strictSame(fieldsOf(res), ['formulas'])
    t.match(res.body, /escaped.*plain/)
  }
  t.equal((await send('GET', '/api/items?formulas=plain&formulas=escaped', CSV)).statusCode, 400)
})

t.test('an import removes an apostrophe only in a file that has the formulas_escaped column', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  const importCsv = importing(send)
  const rows = TEXTS.map((text, n) => `P-${100 + n},"'${text.replaceAll('"', '""')}"\n`)
  t.equal((await importCsv(`Part Number,Name\n${rows.join('')}`)).statusCode, 200)
  t.strictSame(
    (await readContents(send, 'P-')).map(({ description }) => description),
    TEXTS.map((text) => `'${text}`),
    'a file of another program keeps its apostrophes',
  )
  const marked = [
    'Formulas Escaped,Part Number,Name,Size',
    ",A,'=1,'@x",
    ",B,''=1,'a",
    ",C,=1,'-5",
    ",D,'x=1,'\u2019=1",
  ]
  t.equal((await importCsv(marked.join('\n'))).statusCode, 200)
  const read = async (part: string) => {
    const { description, properties } = (await send('GET', `/api/items/${part}`)).json<Content>()
    return [description, properties.Size]
  }
  t.strictSame(await read('A'), ['=1', '@x'])
  t.strictSame(await read('B'), ["'=1", "'a"])
  t.strictSame(await read('C'), ['=1', "'-5"], 'what no export has escaped is unchanged')
  t.strictSame(await read('D'), ["'x=1", "'\u2019=1"])

  const res = await importCsv('Part Number,formulas_escaped\nE,yes\n')
  t.equal(res.statusCode, 422)
  t.match(res.json<ImportResult>().errors, [{ row: 1, field: 'formulas_escaped', message: /^must be empty/ }])
})

t.test('an escaped text whose NFC is no formula loses its apostrophe too', async (t) => {
  const send = await clientAs(await startApp(t), 'editor')
  const marked = "Part Number,Name,formulas_escaped\nA,'=\u0338 x,\n"
  t.equal((await importing(send)(marked)).statusCode, 200)
  t.equal((await readContents(send, 'A'))[0]?.description, '\u2260 x')
})

/** A text of FORMULAS or NO_FORMULAS, and before or after it characters that have a meaning in a cell. */
const hostileText = fc
  .tuple(
    fc.constantFrom('', ...TEXTS),
    fc.string({
      unit: fc.constantFrom(...Array.from('\'=+-@\t\r\n ,;"{}[]|\ufeff\u00a0\u200b＝－5e.aé\u0338')),
      maxLength: 4,
    }),
    fc.boolean(),
  )
  .map(([begin, rest, isLast]) => (isLast ? rest + begin : begin + rest))
const hostileItem = fc.record({
  description: hostileText,
  long_description: hostileText,
  names: fc.uniqueArray(fc.oneof(hostileText, fc.constantFrom('formulas_escaped', 'Name', 'Size')), {
    selector: (name) => name.normalize('NFC'),
    maxLength: 4,
  }),
  values: fc.array(fc.oneof(hostileText, fc.constantFrom<unknown>(null, -5, ['=1'], { '=1': '@x' })), {
    minLength: 4,
    maxLength: 4,
  }),
})

t.test('an export is imported into another database as the same items, escaped or plain', async (t) => {
  const from = await clientAs(await startApp(t), 'editor')
  const to = await clientAs(await startApp(t), 'editor')
  let run = 0
  const property = fc.asyncProperty(
    fc.array(hostileItem, { minLength: 1, maxLength: 12 }),
    fc.constantFrom('escaped', 'plain'),
    async (items, formulas) => {
      run += 1
      const search = `R${run}x`
      const lines = items.map(({ names, values, ...texts }, n) => {
        const properties = Object.fromEntries(names.map((name, index) => [name, values[index]]))
        return JSON.stringify({ part_number: `${search}-${n}`, ...texts, properties })
      })
      const made = await importing(from, 'application/x-ndjson')(lines.join('\n'))
      assert.equal(made.statusCode, 200, made.body)
      const { body } = await from('GET', `/api/items?search=${search}&formulas=${formulas}`, CSV)
      const imported = await importing(to)(body)
      assert.equal(imported.statusCode, 200, imported.body)
      const wanted = await readContents(from, search)
      assert.equal(wanted.length, items.length)
      assert.deepEqual(await readContents(to, search), wanted)
    },
  )
  await t.resolves(fc.assert(property, { numRuns: 60 }))
})

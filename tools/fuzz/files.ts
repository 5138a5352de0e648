import { stringify } from 'csv-stringify/sync'
import fc from 'fast-check'
import { storableText, text, value } from './hostile.js'
import { fieldsOf } from './schema-values.js'
import type { Body } from './wire.js'

const utf8 = (content: string): Body => ({ text: content, encoding: 'utf8' })

const HEADERS = ['Part Number', 'description', 'TYPE', 'long-description', 'sourcing_type', 'properties']
const numbers = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)
const cell = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  { weight: 3, arbitrary: storableText },
  { weight: 1, arbitrary: text(2) },
)
const itemType = fc.constantFrom('part', 'Assembly', ' tool ', '')

const table = fc.record({
  more: fc.uniqueArray(fc.oneof(storableText, text(1)), { maxLength: 3 }),
  rows: fc.array(fc.tuple(numbers, cell, itemType, fc.array(cell, { maxLength: 6 })), { maxLength: 8 }),
})

const wholeCsv = table.map(({ more, rows }) =>
  stringify([
    [...HEADERS, ...more],
    ...rows.map(([number, name, type, rest]) => [number, name, type, ...rest]),
  ]),
)

const harmlessCsv = fc
  .array(fc.tuple(numbers, storableText, fc.constantFrom('part', 'assembly', 'tool')), { maxLength: 8 })
  .map((rows) => stringify([['Part Number', 'Name', 'Type'], ...rows]))

/** Ways to break a valid CSV file. */
const BREAKS: ((csv: string) => Body)[] = [
  (csv) => utf8(`\uFEFF${csv}`),
  (csv) => utf8(`\uFEFF\uFEFF${csv}`),
  (csv) => utf8(csv.slice(0, csv.length / 2)),
  (csv) => utf8(`${csv}"`),
  (csv) => utf8(`${csv}A-1,"never closed\n${csv}`),
  (csv) => utf8(`${csv}A-1,"closed"too early,part\n`),
  (csv) => utf8(`${csv}A-1,a "quote" inside,part\n`),
  (csv) => utf8(csv.replaceAll(',', ';')),
  (csv) => utf8(csv.replaceAll(',', '\t')),
  (csv) => utf8(csv.replaceAll('\n', '\r')),
  (csv) => utf8(csv.replaceAll('\n', '\r\n')),
  (csv) => utf8(csv.replaceAll('\n', '\0')),
  (csv) => utf8(`${csv}\0,\0\n`),
  (csv) => utf8(`${csv}A-1${',x'.repeat(2000)}\n`),
  (csv) => utf8(`Part Number${',x'.repeat(2000)}\n${csv}`),
  (csv) => utf8(`Part Number,__proto__,constructor\nA-1,x,y\n${csv}`),
  (csv) => utf8(`Part Number,part_number\nA-1,A-2\n${csv}`),
  (csv) => utf8(`,,,\n${csv}`),
  (csv) => utf8(`${csv}${'\n'.repeat(5000)}`),
  (csv) => utf8(`${csv}${'"'.repeat(5000)}`),
  (csv) => utf8(`${csv}${'"\n'.repeat(5000)}`),
  (csv) => ({ text: csv, encoding: 'utf16le' }),
  (csv) => ({ text: `${csv}A-1,\xe4\xf6\xfc,part\n`, encoding: 'latin1' }),
  (csv) => ({ text: `${csv}A-1,\xed\xa0\x80,part\n`, encoding: 'latin1' }),
  () => utf8(''),
  () => utf8('\n\n\n'),
  () => utf8('Part Number'),
  () => utf8('"Part Number'),
]

/** 10 MB in one cell. Rare, since every byte is sent. */
const huge = fc
  .constantFrom('x', '""', '\n', '🚀')
  .map((each) =>
    utf8(`Part Number,Name\nA-1,"${each.repeat((10 * 1024 * 1024) / Buffer.byteLength(each))}"\n`),
  )

/** Generates CSV files: harmless, with hostile cells, broken, and rarely a huge one. */
export const csv: fc.Arbitrary<Body> = fc.oneof(
  { weight: 100, arbitrary: harmlessCsv.map(utf8) },
  { weight: 50, arbitrary: wholeCsv.map(utf8) },
  {
    weight: 100,
    arbitrary: fc
      .tuple(fc.oneof(harmlessCsv, wholeCsv), fc.constantFrom(...BREAKS))
      .map(([content, broken]) => broken(content)),
  },
  { weight: 1, arbitrary: huge },
)

const row = fieldsOf({
  properties: {
    part_number: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$' },
    description: { type: 'string', maxLength: 2000 },
    item_type: { type: 'string', enum: ['part', 'assembly', 'tool'] },
    properties: { type: 'object' },
  },
  required: ['part_number'],
}).map((each) => JSON.stringify(each))

const line = fc.oneof({ weight: 6, arbitrary: row }, { weight: 1, arbitrary: value })

/** Generates NDJSON files: valid, with hostile lines, wrongly encoded, and rarely a huge one. */
export const ndjson: fc.Arbitrary<Body> = fc.oneof(
  { weight: 100, arbitrary: fc.array(row, { maxLength: 8 }).map((lines) => utf8(lines.join('\n'))) },
  {
    weight: 100,
    arbitrary: fc
      .tuple(
        fc.array(line, { maxLength: 8 }),
        fc.constantFrom('\n', '\r\n', '\r', '\n\n', '\0', '\u2028', ''),
      )
      .map(([lines, end]) => utf8(lines.join(end))),
  },
  {
    weight: 20,
    arbitrary: fc
      .tuple(row, fc.constantFrom('latin1', 'utf16le'))
      .map(([content, encoding]) => ({ text: `${content}\n`, encoding })),
  },
  {
    weight: 1,
    arbitrary: fc.constant(utf8(`{"part_number":"A-1","description":"${'x'.repeat(10_000_000)}"}`)),
  },
)

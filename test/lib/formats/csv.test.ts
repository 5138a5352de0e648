import assert from 'node:assert/strict'
import { parse } from 'csv-parse/sync'
import { stringify } from 'csv-stringify/sync'
import fc from 'fast-check'
import t from 'tap'
import { ApiError } from '../../../errors.js'
import { type CsvRecord, readRecords } from '../../../lib/formats/csv-records.js'
import { readCsv } from '../../../lib/formats/csv.js'

const LIMITS = { maxLength: 100_000, maxCells: 100 }

async function* chunksOf(text: string, length: number): AsyncGenerator<string> {
  for (let index = 0; index < text.length; index += length) yield text.slice(index, index + length)
}

async function listOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const value of values) list.push(value)
  return list
}

const recordsOf = (text: string, length = text.length || 1): Promise<CsvRecord[]> =>
  listOf(readRecords(chunksOf(text, length), LIMITS))

/** Returns the details with which a file is refused as a whole. */
async function refusalOf(text: string): Promise<string> {
  try {
    await listOf(readCsv(chunksOf(text, 7)))
  } catch (error) {
    if (error instanceof ApiError) return JSON.stringify(error.body.details)
    throw error
  }
  return ''
}

const quote = (cell: string): string => `"${cell.replaceAll('"', '""')}"`

/** A cell with any content, often with characters that have a meaning in CSV. */
const cell = fc.string({
  unit: fc.oneof(fc.constantFrom(',', '"', '\r', '\n', ';', '\t', "'", '=', ' ', '\ufeff', 'é'), fc.string()),
  maxLength: 8,
})
const lineEnd = fc.constantFrom('\n', '\r\n', '\r')

t.test('cells are read as they were written, with any line ends, quoting and chunk sizes', async (t) => {
  const record = fc.record({ cells: fc.array(cell, { minLength: 2, maxLength: 5 }), end: lineEnd })
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { maxLength: 8 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      async (records, length, endsInLine) => {
        const text = records
          .map(({ cells, end }, index) => {
            const line = cells.map((value) => (/[",\r\n]/.test(value) ? quote(value) : value)).join(',')
            return endsInLine || index < records.length - 1 ? line + end : line
          })
          .join('')
        t.strictSame(
          await recordsOf(text, length),
          records.map(({ cells }) => ({ cells })),
        )
      },
    ),
  )
})

t.test('files of csv-stringify are read as they were written, and as csv-parse reads them', async (t) => {
  const property = fc.asyncProperty(
    fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
    fc.boolean(),
    async (records, quoted) => {
      const text = stringify(records, { quoted, record_delimiter: 'windows', quoted_match: /[\r\n]/ })
      const cells = (await recordsOf(text)).map((record) => ('cells' in record ? record.cells : record))
      assert.deepEqual(cells, records)
      assert.deepEqual(cells, parse(text, { record_delimiter: '\r\n', relax_column_count: true }))
    },
  )
  await t.resolves(fc.assert(property))
})

t.test(
  'LF, CRLF and CR end a record outside quotes, also mixed in one file, and are preserved inside quotes',
  async (t) => {
    const text = 'a,b\r\n1,2\n3,4\r5,"x\r\ny\rz\n"\r\r\n\n6,7'
    for (const length of [1, 2, 3, text.length]) {
      t.strictSame(await recordsOf(text, length), [
        { cells: ['a', 'b'] },
        { cells: ['1', '2'] },
        { cells: ['3', '4'] },
        { cells: ['5', 'x\r\ny\rz\n'] },
        { cells: ['6', '7'] },
      ])
    }
  },
)

t.test('a file that can be read in more than one way is refused, with the line', async (t) => {
  const stray = 'has a quote inside an unquoted cell: quote the cell, and write "" for the quote inside it'
  t.strictSame(await recordsOf('a\n3/4" x\nb'), [
    { cells: ['a'] },
    { broken: stray, last: false },
    { cells: ['b'] },
  ])
  t.match(await recordsOf('a, "b"\n'), [{ broken: stray }])
  t.match(await recordsOf('a\n"b"c\nd'), [
    { cells: ['a'] },
    { broken: /text after the closing quote/, last: true },
  ])
  t.match(await recordsOf('a\r\n"b\r\nc'), [
    { cells: ['a'] },
    { broken: /a quote in line 2 that is never closed/ },
  ])
  t.match(await recordsOf('"a"\n"b\n\r\n""'), [{ cells: ['a'] }, { broken: /line 2 that is never closed/ }])
  t.match(await recordsOf('"a";"b"'), [{ broken: /seems to be separated by ";"/ }])
  await t.rejects(recordsOf(`a\n"${'x'.repeat(100_000)}`), /line 2\) that is longer than any item/)
  await t.rejects(recordsOf(`a\n${','.repeat(100)}`), /line 2\) with more than 100 cells/)
})

t.test('another separator is named as the reason', async (t) => {
  t.match(
    await refusalOf('Part Number;Part Name;Type\r\nDE-1;Gehäuse;part\r\n'),
    /"header".*separated by \\";\\"/,
  )
  t.match(await refusalOf('Name, long\tpart_number\nx\ty\n'), /"header".*separated by \\"\\\\t\\"/)
  t.match(await refusalOf('sep=;\nPart Number;Name\n'), /"header".*begins with a line/)
})

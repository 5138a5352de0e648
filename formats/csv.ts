import { Readable, pipeline } from 'node:stream'
import { CsvError, parse } from 'csv-parse'
import { stringify } from 'csv-stringify/sync'
import sjson from 'secure-json-parse'
import { ApiError } from '../errors.js'
import type { PropertyUse } from '../schemas/export.js'
import type { Item } from '../schemas/items.js'
import type { Row } from './rows.js'

/** Longer than any item that the API takes, in characters: where a quote that is never closed is given up. */
const MAX_RECORD = 1024 * 1024

const MAX_QUOTE_ERRORS = 2000

/** Every further property of an export goes to the column `properties`. */
const MAX_PROPERTY_COLUMNS = 500

/** The headers that mean a field, without case, spaces, dashes and underscores; any other is a property. */
const FIELDS = new Map([
  ['partnumber', 'part_number'],
  ['name', 'description'],
  ['partname', 'description'],
  ['description', 'description'],
  ['type', 'item_type'],
  ['itemtype', 'item_type'],
  ['longdescription', 'long_description'],
  ['sourcing', 'sourcing_type'],
  ['sourcingtype', 'sourcing_type'],
  ['properties', 'properties'],
])

interface Column {
  header: string
  field: string | undefined
}

const fieldOf = (header: string): string | undefined =>
  FIELDS.get(header.toLowerCase().replaceAll(/[\s_-]/gu, ''))

const invalid = (field: 'header' | 'body', message: string): ApiError =>
  new ApiError('invalid_request', { details: [{ field, message }] })

function readHeader(cells: string[]): Column[] {
  const columns = cells.map((cell) => ({ header: cell.trim(), field: fieldOf(cell) }))
  const taken = new Map<string, string>()
  for (const { header, field } of columns) {
    if (header === '') continue
    if (header === '__proto__') throw invalid('header', '"__proto__" is not allowed as a name')
    const meaning = field ?? `properties.${header}`
    const other = taken.get(meaning)
    if (other !== undefined) throw invalid('header', `"${other}" and "${header}" both mean ${meaning}`)
    taken.set(meaning, header)
  }
  if (!taken.has('part_number')) throw invalid('header', 'has no column "Part Number"')
  return columns
}

/** The object in a cell; a text in its place is refused when the row is checked. */
function readObject(cell: string): unknown {
  try {
    return sjson.parse(cell)
  } catch {
    return cell
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function readCell(field: string, cell: string): unknown {
  switch (field) {
    case 'part_number':
      return cell.trim()
    case 'item_type':
    case 'sourcing_type':
      return cell.trim().toLowerCase()
    case 'properties':
      return readObject(cell)
    default:
      return cell
  }
}

function readRecord(row: number, columns: Column[], cells: string[]): Row {
  if (cells.length > columns.length) {
    const message = `has ${cells.length} cells, the header only ${columns.length}`
    return { row, errors: [{ field: 'row', message }] }
  }
  const value: Record<string, unknown> = {}
  const properties: Record<string, string> = {}
  for (const [index, { header, field }] of columns.entries()) {
    const cell = cells[index] ?? ''
    if (cell === '') continue
    if (header === '') {
      return { row, errors: [{ field: `column ${index + 1}`, message: 'has a cell, but no header' }] }
    }
    if (field === undefined) properties[header] = cell
    else value[field] = readCell(field, cell)
  }
  if (Object.keys(properties).length > 0) {
    const { properties: object = {} } = value
    if (isObject(object)) value.properties = { ...object, ...properties }
  }
  return { row, value }
}

/**
 * The rows of a CSV file (RFC 4180) with a header. Empty lines are passed over, and so are rows of nothing but empty
 * cells, though these are counted. A quote inside a bare cell is that row's error; behind one that closes a cell too
 * early, or not at all, rows can't be told apart, and reading ends.
 * @throws {ApiError} invalid_request for a header that can't be used, or a row that is longer than any item
 */
export async function* readCsv(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let errors = 0

  /** Passes an error on in the place of its row. It costs as much as the row is long: too many are an attack. */
  function reportBroken(error: CsvError): void {
    if (error.code === 'CSV_MAX_RECORD_SIZE') {
      throw invalid('body', 'has a row that is longer than any item: is a quote not closed?')
    }
    if (++errors > MAX_QUOTE_ERRORS) throw invalid('body', error.message)
    parser.push(error)
  }

  const parser = parse({
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: MAX_RECORD,
    on_skip: (error) => {
      if (error) reportBroken(error)
      return undefined
    },
  })
  // An error of the source destroys the parser with it, and is thrown by the loop below.
  pipeline(Readable.from(text), parser, () => undefined)

  let row = 0
  let brokenLine: unknown
  let columns: Column[] | undefined
  for await (const record of parser as AsyncIterable<string[] | CsvError>) {
    if (record instanceof CsvError) {
      if (columns === undefined) throw invalid('header', record.message)
      if (record.lines !== brokenLine)
        yield { row: ++row, errors: [{ field: 'row', message: record.message }] }
      if (record.code !== 'INVALID_OPENING_QUOTE') return
      brokenLine = record.lines
    } else if (columns === undefined) {
      columns = readHeader(record)
    } else {
      row += 1
      if (record.some((cell) => cell !== '')) yield readRecord(row, columns, record)
    }
  }
  if (columns === undefined) throw invalid('header', 'is missing: the body is empty')
}

const EXPORTED = ['part_number', 'item_type', 'description', 'long_description', 'sourcing_type'] as const

/** Which properties get a column: those that an import would read back as they are. */
function propertyColumns(inUse: readonly PropertyUse[]): string[] {
  return inUse
    .filter(({ name, text }) => text && name !== '' && name === name.trim() && fieldOf(name) === undefined)
    .slice(0, MAX_PROPERTY_COLUMNS)
    .map(({ name }) => name)
}

/**
 * The cells of an item; the last one holds, as JSON, what has no column. An empty text can't be told from no cell, so it goes
 * there too, like all that is no text, and like a property that came into use after the header was written.
 */
function cellsOf(columns: readonly string[], item: Item): (string | null | undefined)[] {
  const others = new Map(Object.entries(item.properties))
  const cells = columns.map((name) => {
    const value = others.get(name)
    if (typeof value !== 'string' || value === '') return ''
    others.delete(name)
    return value
  })
  const json = others.size > 0 ? JSON.stringify(Object.fromEntries(others)) : ''
  return [...EXPORTED.map((field) => item[field]), ...cells, json]
}

/** Writes items, which come in batches, as a CSV file that `readCsv` reads back as they are. */
export async function* writeCsv(
  inUse: readonly PropertyUse[],
  batches: AsyncIterable<Item[]>,
): AsyncGenerator<string> {
  const columns = propertyColumns(inUse)
  yield stringify([[...EXPORTED, ...columns, 'properties']])
  for await (const items of batches) yield stringify(items.map((item) => cellsOf(columns, item)))
}

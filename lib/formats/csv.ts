import { stringify } from 'csv-stringify/sync'
import { ApiError } from '../../errors.js'
import { JsonError, parseJson, stringifyJson } from '../json.js'
import {
  type Formulas,
  ITEM_FIELDS,
  ITEM_FIELD_NAMES,
  type Item,
  type ItemField,
} from '../../schemas/items.js'
import { CsvLimitError, OTHER_SEPARATORS, describeSeparator, readRecords } from './csv-records.js'
import { escapeFormula, looksLikeFormula, unescapeFormula } from './formulas.js'
import type { Row } from './rows.js'

/**
 * The limits of a record: longer than any item that the API accepts, and more columns than a catalogue has.
 * The time for each row grows with its cells, so a header of a million columns would make every row
 * expensive.
 */
const LIMITS = { maxLength: 1024 * 1024, maxCells: 2000 }

/** Max columns for single properties. An export writes further properties to the column `properties`. */
const MAX_PROPERTY_COLUMNS = 500

/** The column by which an import recognises a file with escaped formulas; it is empty in each row. */
const ESCAPED_MARK = 'formulas_escaped'

/** Headers that other programs write, and the fields that they mean. */
const OTHER_HEADERS: Record<string, ItemField> = {
  name: 'description',
  partname: 'description',
  type: 'item_type',
  sourcing: 'sourcing_type',
}

/** Returns a header without case, spaces, dashes and underscores. */
const plainHeader = (header: string): string => header.toLowerCase().replaceAll(/[\s_-]/gu, '')

/** The fields by their plain headers. Any other header is a property. */
const FIELDS = new Map<string, string>([
  ...['part_number', ...ITEM_FIELD_NAMES, ESCAPED_MARK].map((name) => [plainHeader(name), name] as const),
  ...Object.entries(OTHER_HEADERS),
])

/** A column of a file. Without a field, it is the property named like its header. */
interface Column {
  header: string
  field: string | undefined
}

const fieldOf = (header: string): string | undefined => FIELDS.get(plainHeader(header))

/** Describes why a header has no part number if its cells have another separator; undefined otherwise. */
function describeHeader(cells: string[]): string | undefined {
  const line = cells.join(',')
  if (/^sep=/i.test(line)) return 'begins with a line "sep=": remove the line, and use commas as separators'
  const separator = OTHER_SEPARATORS.find((separator) =>
    line.split(separator, LIMITS.maxCells).some((cell) => fieldOf(cell) === 'part_number'),
  )
  return separator && describeSeparator(separator)
}

function readHeader(cells: string[]): Column[] {
  const columns = cells.map((cell) => ({ header: cell.trim().normalize('NFC'), field: fieldOf(cell) }))
  const headers = new Map<string, string>()
  for (const { header, field } of columns) {
    if (header === '') continue
    if (header === '__proto__') throw ApiError.invalid('header', '"__proto__" is not allowed as a name')
    const meaning = field ?? `properties.${header}`
    const other = headers.get(meaning)
    if (other !== undefined)
      throw ApiError.invalid('header', `"${other}" and "${header}" both mean ${meaning}`)
    headers.set(meaning, header)
  }
  if (!headers.has('part_number')) {
    throw ApiError.invalid('header', describeHeader(cells) ?? 'has no column "Part Number"')
  }
  return columns
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The fields whose values are words of a list, which a file may write in upper case. */
const CHOICES = new Set<string>(ITEM_FIELD_NAMES.filter((name) => 'enum' in ITEM_FIELDS[name]))

function readCell(field: string, cell: string): unknown {
  if (CHOICES.has(field)) return cell.trim().toLowerCase()
  switch (field) {
    case 'part_number':
      return cell.trim()
    case 'properties':
      return parseJson(cell)
    case ESCAPED_MARK:
      throw new RowError(ESCAPED_MARK, 'must be empty: the column only marks a file with escaped formulas')
    default:
      return cell
  }
}

/** Thrown for a row that has an error in a field. */
class RowError extends Error {
  override readonly name = 'RowError'

  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message)
  }
}

/**
 * Adds the properties with a column of their own to those of the column `properties`. If the latter is not an
 * object, it is returned as it is, to be refused by the validation.
 */
function joinProperties(object: unknown, columns: Record<string, string>): unknown {
  if (!isObject(object)) return object
  const twice = Object.keys(columns).find((name) => Object.hasOwn(object, name))
  if (twice !== undefined)
    throw new RowError(
      `properties.${twice}`,
      'is given twice: in its own column and in the column "properties"',
    )
  return { ...object, ...columns }
}

function readValue(columns: Column[], escaped: boolean, cells: string[]): Record<string, unknown> {
  if (cells.length > columns.length) {
    throw new RowError('row', `has ${cells.length} cells, but the header has ${columns.length}`)
  }
  const value: Record<string, unknown> = {}
  const properties: Record<string, string> = {}
  for (const [index, raw] of cells.entries()) {
    if (raw === '') continue
    // Normalise last: "=" with a combining stroke is a single character in NFC, and its escape would not be
    // recognised.
    const cell = (escaped ? unescapeFormula(raw) : raw).normalize('NFC')
    const { header, field } = columns[index] ?? { header: '', field: undefined }
    if (header === '') throw new RowError(`column ${index + 1}`, 'has a value, but no header')
    if (field === undefined) properties[header] = cell
    else value[field] = readCell(field, cell)
  }
  if (Object.keys(properties).length > 0) {
    value.properties = joinProperties(value.properties ?? {}, properties)
  }
  return value
}

function readCells(row: number, columns: Column[], escaped: boolean, cells: string[]): Row {
  try {
    return { row, value: readValue(columns, escaped, cells) }
  } catch (error) {
    if (!(error instanceof RowError || error instanceof JsonError)) throw error
    const field = error instanceof RowError ? error.field : 'properties'
    return { row, errors: [{ field, message: error.message }] }
  }
}

/**
 * Reads the rows of a CSV file with a header. Rows with only empty cells are skipped, but counted. A quote
 * inside an unquoted cell is an error of its row. If the end of a row can't be determined, reading ends with
 * the error of that row.
 * @throws {ApiError} invalid_request for an unusable header, or a row beyond the limits
 */
export async function* readCsv(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let row = 0
  let columns: Column[] | undefined
  let escaped = false
  try {
    for await (const record of readRecords(text, LIMITS)) {
      if (columns === undefined) {
        if ('broken' in record) throw ApiError.invalid('header', record.broken)
        columns = readHeader(record.cells)
        escaped = columns.some(({ field }) => field === ESCAPED_MARK)
        continue
      }
      row += 1
      if ('broken' in record) yield { row, errors: [{ field: 'row', message: record.broken }] }
      else if (record.cells.some((cell) => cell !== '')) yield readCells(row, columns, escaped, record.cells)
    }
  } catch (error) {
    if (error instanceof CsvLimitError)
      throw ApiError.invalid(columns === undefined ? 'header' : 'body', error.message)
    throw error
  }
  if (columns === undefined) throw ApiError.invalid('header', 'is missing: the body is empty')
}

const hasCell = (name: ItemField): name is Exclude<ItemField, 'properties'> => name !== 'properties'

/** The fields with a column of their own, in the order of the columns. */
const EXPORTED = ['part_number', ...ITEM_FIELD_NAMES.filter(hasCell)] as const

/**
 * Returns the properties that get a column: those that an import reads back unchanged, and whose name can be
 * a header. Other programs would take an escaped name for another property, so a property whose name must be
 * escaped goes to the column `properties`.
 */
function propertyColumns(names: readonly string[], formulas: Formulas): string[] {
  return names
    .filter((name) => name !== '' && name === name.trim() && fieldOf(name) === undefined)
    .filter((name) => formulas === 'plain' || !looksLikeFormula(name))
    .slice(0, MAX_PROPERTY_COLUMNS)
}

/**
 * Returns the cells of an item. The last cell contains, as JSON, the properties without a cell of their own:
 * values that are not a text, the empty text, which would be the same as no cell, and properties that were
 * added after the header was written.
 */
function cellsOf(columns: readonly string[], item: Item): (string | null)[] {
  const others = new Map(Object.entries(item.properties))
  const cells = columns.map((name) => {
    const value = others.get(name)
    if (typeof value !== 'string' || value === '') return ''
    others.delete(name)
    return value
  })
  const json = others.size > 0 ? stringifyJson(Object.fromEntries(others)) : ''
  return [...EXPORTED.map((field) => item[field]), ...cells, json]
}

/** `readCsv` ends a record at a bare CR, but `stringify` does not quote it by itself. */
const STRINGIFY = { quoted_match: /\r/ }

/**
 * Writes items, slice by slice, as a CSV file that `readCsv` reads back unchanged, with formulas escaped or
 * not.
 * @param names of the properties that are texts in some of the items
 */
export async function* writeCsv(
  names: readonly string[],
  slices: AsyncIterable<Item[]>,
  formulas: Formulas,
): AsyncGenerator<string> {
  const columns = propertyColumns(names, formulas)
  const mark = formulas === 'escaped' ? [ESCAPED_MARK] : []
  yield stringify([[...EXPORTED, ...columns, 'properties', ...mark]], STRINGIFY)
  const escape = (cell: string | null) => cell && escapeFormula(cell)
  for await (const items of slices) {
    const rows = items.map((item) => cellsOf(columns, item))
    yield stringify(
      formulas === 'escaped' ? rows.map((cells) => [...cells.map(escape), '']) : rows,
      STRINGIFY,
    )
  }
}

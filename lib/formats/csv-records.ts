import { Pacer } from '../pacer.js'

/**
 * A record of a CSV file, or why it can't be parsed. A broken record that is `last` ends the reading, because
 * the start of the next record can't be determined.
 */
export type CsvRecord = { cells: string[] } | { broken: string; last: boolean }

/** The limits of a record. */
export interface CsvLimits {
  /** Max length of a record, in characters. A longer one usually has a quote that is not closed. */
  maxLength: number
  /** Max cells of a record. */
  maxCells: number
}

/** Thrown for a record that exceeds the limits. */
export class CsvLimitError extends Error {
  override readonly name = 'CsvLimitError'
}

/** The text is parsed in pieces of this many characters, so that a pause is possible after each one. */
const PIECE = 16 * 1024

/** The characters that end a run of plain characters outside quotes. */
const SPECIAL = /[",\r\n]/g
const LINE_END = /\r\n|\r|\n/g

/**
 * The state of the reader: before a cell, in an unquoted cell, in a quoted cell, or after a quote that may
 * have closed the cell.
 */
type CellState = 'start' | 'bare' | 'quoted' | 'closed'

/** Separators that some programs write instead of a comma. */
export const OTHER_SEPARATORS = [';', '\t', '|']

/** Describes a record whose cells have another separator than a comma. */
export const describeSeparator = (separator: string): string =>
  `seems to be separated by ${JSON.stringify(separator)}: save the file with commas as separators`

function describeAfterQuote(character = ''): string {
  return OTHER_SEPARATORS.includes(character)
    ? describeSeparator(character)
    : 'has text after the closing quote of a cell: write "" for a quote inside a quoted cell'
}

/** Parses the records of a text that arrives in pieces of any length. */
class Reader {
  /** Records that are complete and have not been removed by the caller. */
  records: CsvRecord[] = []
  /** Whether reading has ended at a broken record. */
  isOver = false
  #state: CellState = 'start'
  #cell = ''
  #cells: string[] = []
  /** Why the current record can't be parsed, once that is known. */
  #broken: string | undefined
  /** The length of the current record, in characters. */
  #length = 0
  /** The number of the current line. */
  #line = 1
  /** The number of the line in which the current record begins. */
  #recordLine = 1
  /** The number of the line with the last opening quote. */
  #quoteLine = 1
  /** Whether the last character was a CR; a LF then belongs to the same line end. */
  #afterReturn = false

  constructor(readonly limits: CsvLimits) {}

  /** @throws {CsvLimitError} */
  read(text: string): void {
    let index = 0
    while (index < text.length && !this.isOver) {
      index = this.#state === 'quoted' ? this.#readQuoted(text, index) : this.#readBare(text, index)
    }
  }

  /** Ends the last record, which may lack a line end. */
  end(): void {
    if (this.isOver) return
    if (this.#state === 'quoted')
      this.#breakOff(`has a quote in line ${this.#quoteLine} that is never closed`)
    else this.#endRecord()
  }

  /**
   * Reads up to a quote, which closes the cell or is the first half of an escaped quote. Returns the next
   * index.
   */
  #readQuoted(text: string, index: number): number {
    const quote = text.indexOf('"', index)
    const run = text.slice(index, quote < 0 ? text.length : quote)
    this.#append(run)
    this.#countLines(run)
    if (quote < 0) return text.length
    this.#grow(1)
    this.#afterReturn = false
    this.#state = 'closed'
    return quote + 1
  }

  #countLines(run: string): void {
    if (run === '') return
    const ends = run.match(LINE_END)?.length ?? 0
    this.#line += ends - (this.#afterReturn && run.startsWith('\n') ? 1 : 0)
    this.#afterReturn = run.endsWith('\r')
  }

  /** Reads a run of plain characters and the special character after it. Returns the next index. */
  #readBare(text: string, index: number): number {
    SPECIAL.lastIndex = index
    const end = SPECIAL.exec(text)?.index ?? text.length
    if (end > index) {
      if (this.#state === 'closed') {
        this.#breakOff(describeAfterQuote(text[index]))
        return text.length
      }
      this.#append(text.slice(index, end))
      this.#state = 'bare'
      this.#afterReturn = false
    }
    if (end < text.length) this.#readSpecial(text[end] ?? '')
    return end + 1
  }

  #readSpecial(character: string): void {
    const isSecondHalf = character === '\n' && this.#afterReturn
    this.#afterReturn = character === '\r'
    if (isSecondHalf) return
    if (character === ',') this.#endCell()
    else if (character === '"') this.#readQuote()
    else {
      this.#endRecord()
      this.#line += 1
      this.#recordLine = this.#line
    }
  }

  #readQuote(): void {
    if (this.#state === 'bare') {
      this.#broken ??=
        'has a quote inside an unquoted cell: quote the cell, and write "" for the quote inside it'
      return this.#grow(1)
    }
    if (this.#state === 'closed') this.#append('"')
    else this.#quoteLine = this.#line
    this.#grow(1)
    this.#state = 'quoted'
  }

  #append(text: string): void {
    this.#grow(text.length)
    this.#cell += text
  }

  #grow(length: number): void {
    this.#length += length
    if (this.#length > this.limits.maxLength) {
      throw new CsvLimitError(
        `has a row (line ${this.#recordLine}) that is longer than any item: ` +
          'check for a quote that is not closed',
      )
    }
  }

  #endCell(): void {
    this.#grow(1)
    this.#cells.push(this.#cell)
    this.#cell = ''
    this.#state = 'start'
    if (this.#cells.length >= this.limits.maxCells) {
      throw new CsvLimitError(
        `has a row (line ${this.#recordLine}) with more than ${this.limits.maxCells} cells`,
      )
    }
  }

  /** Ends the record. An empty line is not a record. */
  #endRecord(): void {
    if (this.#state === 'start' && this.#cells.length === 0) return
    this.records.push(
      this.#broken === undefined
        ? { cells: [...this.#cells, this.#cell] }
        : { broken: this.#broken, last: false },
    )
    this.#cells = []
    this.#cell = ''
    this.#broken = undefined
    this.#length = 0
    this.#state = 'start'
  }

  #breakOff(reason: string): void {
    this.records.push({ broken: this.#broken ?? reason, last: true })
    this.isOver = true
  }
}

/**
 * Parses the records of a CSV file (RFC 4180). Every LF, CR or CR LF outside quotes ends a record, even if a
 * file mixes them; inside quotes they are preserved. Empty lines are skipped. The time is linear in the
 * length of the text, whatever it contains, and other work of the event loop is processed in between.
 * @throws {CsvLimitError}
 */
export async function* readRecords(
  text: AsyncIterable<string>,
  limits: CsvLimits,
): AsyncGenerator<CsvRecord> {
  const reader = new Reader(limits)
  const pacer = new Pacer()
  for await (const chunk of text) {
    for (let index = 0; index < chunk.length && !reader.isOver; index += PIECE) {
      reader.read(chunk.slice(index, index + PIECE))
      yield* reader.records.splice(0)
      if (pacer.shouldPause) await pacer.pause()
    }
    if (reader.isOver) return
  }
  reader.end()
  yield* reader.records
}

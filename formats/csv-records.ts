import { Pacer } from '../lib/pacer.js'

/**
 * A record of a CSV file, or why it can't be read. After a broken record that is `last`, the begin of the next one can't be
 * told, and reading ends.
 */
export type CsvRecord = { cells: string[] } | { broken: string; last: boolean }

export interface CsvLimits {
  /** The longest record, in characters: a longer one is a quote that is not closed. */
  maxLength: number
  /** The most cells of a record. */
  maxCells: number
}

/** A record is beyond the limits. */
export class CsvLimitError extends Error {
  override readonly name = 'CsvLimitError'
}

/** The text is read in pieces of this many characters, however it arrives: a pause is possible after each. */
const PIECE = 16 * 1024

/** What ends a run of plain characters outside quotes. */
const SPECIAL = /[",\r\n]/g
const LINE_END = /\r\n|\r|\n/g

/** Where the reader is: before a cell, in a bare one, in a quoted one, or after a quote that may have closed it. */
type Place = 'start' | 'bare' | 'quoted' | 'closed'

/** What some programs put between cells instead of a comma. */
const FOREIGN_SEPARATORS = ';\t|'

function describeAfterQuote(character = ''): string {
  return FOREIGN_SEPARATORS.includes(character)
    ? `looks separated by ${JSON.stringify(character)}: save the file with commas between the cells`
    : 'has text after a quote that closes its cell: write "" for a quote inside it'
}

/** Reads the records of a text that comes in pieces of any length. */
class Reader {
  /** Records that are complete and not taken yet. */
  records: CsvRecord[] = []
  /** Whether nothing more can be read. */
  isOver = false
  #place: Place = 'start'
  #cell = ''
  #cells: string[] = []
  /** Why the current record can't be read, once that is known. */
  #broken: string | undefined
  /** Of the current record, in characters. */
  #length = 0
  /** The number of the current line, of the one in which the record begins, and of the one with its last opening quote. */
  #line = 1
  #recordLine = 1
  #quoteLine = 1
  /** Whether the last character was a CR: a LF then belongs to the same line end. */
  #afterReturn = false

  constructor(readonly limits: CsvLimits) {}

  /** @throws {CsvLimitError} */
  read(text: string): void {
    let index = 0
    while (index < text.length && !this.isOver) {
      index = this.#place === 'quoted' ? this.#readQuoted(text, index) : this.#readBare(text, index)
    }
  }

  /** Ends the last record, which needs no line end. */
  end(): void {
    if (this.isOver) return
    if (this.#place === 'quoted') this.#breakOff(`has a quote in line ${this.#quoteLine} that is not closed`)
    else this.#endRecord()
  }

  /** Reads to the quote that closes the cell, or is the first half of one inside it. */
  #readQuoted(text: string, index: number): number {
    const quote = text.indexOf('"', index)
    const run = text.slice(index, quote < 0 ? text.length : quote)
    this.#append(run)
    this.#countLines(run)
    if (quote < 0) return text.length
    this.#grow(1)
    this.#afterReturn = false
    this.#place = 'closed'
    return quote + 1
  }

  #countLines(run: string): void {
    if (run === '') return
    const ends = run.match(LINE_END)?.length ?? 0
    this.#line += ends - (this.#afterReturn && run.startsWith('\n') ? 1 : 0)
    this.#afterReturn = run.endsWith('\r')
  }

  /** Reads a run of plain characters and the special one after it. */
  #readBare(text: string, index: number): number {
    SPECIAL.lastIndex = index
    const end = SPECIAL.exec(text)?.index ?? text.length
    if (end > index) {
      if (this.#place === 'closed') {
        this.#breakOff(describeAfterQuote(text[index]))
        return text.length
      }
      this.#append(text.slice(index, end))
      this.#place = 'bare'
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
    if (this.#place === 'bare') {
      this.#broken ??=
        'has a quote inside a cell: put the cell into quotes, and write "" for the one inside it'
      return this.#grow(1)
    }
    if (this.#place === 'closed') this.#append('"')
    else this.#quoteLine = this.#line
    this.#grow(1)
    this.#place = 'quoted'
  }

  #append(text: string): void {
    this.#grow(text.length)
    this.#cell += text
  }

  #grow(length: number): void {
    this.#length += length
    if (this.#length > this.limits.maxLength) {
      throw new CsvLimitError(
        `has a row (line ${this.#recordLine}) that is longer than any item: is a quote not closed?`,
      )
    }
  }

  #endCell(): void {
    this.#grow(1)
    this.#cells.push(this.#cell)
    this.#cell = ''
    this.#place = 'start'
    if (this.#cells.length >= this.limits.maxCells) {
      throw new CsvLimitError(
        `has a row (line ${this.#recordLine}) of more than ${this.limits.maxCells} cells`,
      )
    }
  }

  /** A line on which there is nothing is no record. */
  #endRecord(): void {
    if (this.#place === 'start' && this.#cells.length === 0) return
    this.records.push(
      this.#broken === undefined
        ? { cells: [...this.#cells, this.#cell] }
        : { broken: this.#broken, last: false },
    )
    this.#cells = []
    this.#cell = ''
    this.#broken = undefined
    this.#length = 0
    this.#place = 'start'
  }

  #breakOff(reason: string): void {
    this.records.push({ broken: this.#broken ?? reason, last: true })
    this.isOver = true
  }
}

/**
 * The records of a CSV file (RFC 4180). Every LF, CR or CR LF outside quotes ends a record, also where a file mixes them; inside
 * quotes they are kept as they are. Lines on which there is nothing are passed over. The work is bounded by the text, whatever
 * its shape, and lets the event loop run in between.
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
      if (pacer.isDue) await pacer.pause()
    }
    if (reader.isOver) return
  }
  reader.end()
  yield* reader.records
}

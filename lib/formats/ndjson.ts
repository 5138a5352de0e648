import { ApiError } from '../../errors.js'
import { JsonError, parseJson } from '../json.js'
import type { Row } from './rows.js'

/** Max length of a line, in characters: longer than any item that the API accepts. */
const MAX_LINE = 1024 * 1024

/**
 * Splits a text into lines.
 * @throws {ApiError} invalid_request for a line that is too long
 */
async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of text) {
    // Only the new chunk is searched, so a body that is one endless line takes no more time than any other.
    const lines = chunk.split('\n')
    lines[0] = rest + (lines[0] ?? '')
    rest = lines.pop() ?? ''
    yield* lines
    if (rest.length > MAX_LINE) {
      throw ApiError.invalid('body', 'has a line that is too long for an item')
    }
  }
  yield rest
}

function readLine(row: number, line: string): Row {
  try {
    return { row, value: parseJson(line) }
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return { row, errors: [{ field: 'row', message: error.message }] }
  }
}

/**
 * Reads the rows of newline-delimited JSON: one object per line. Blank lines are skipped and not counted.
 * @throws {ApiError} invalid_request for a line that is too long
 */
export async function* readNdjson(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let row = 0
  for await (const line of linesOf(text)) {
    if (line.trim() !== '') yield readLine(++row, line)
  }
}

import { ApiError } from '../errors.js'
import { JsonError, parseJson } from '../lib/json.js'
import type { Row } from './rows.js'

/** Longer than any item that the API takes, in characters. */
const MAX_LINE = 1024 * 1024

async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of text) {
    // Only what is new is searched, so a body that is one endless line costs no more than any other.
    const lines = chunk.split('\n')
    lines[0] = rest + (lines[0] ?? '')
    rest = lines.pop() ?? ''
    yield* lines
    if (rest.length > MAX_LINE) {
      throw new ApiError('invalid_request', {
        details: [{ field: 'body', message: 'has a line that is too long for an item' }],
      })
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
 * The rows of newline-delimited JSON: one object a line. Empty lines are passed over and not counted.
 * @throws {ApiError} invalid_request for a line that has no end
 */
export async function* readNdjson(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let row = 0
  for await (const line of linesOf(text)) {
    if (line.trim() !== '') yield readLine(++row, line)
  }
}

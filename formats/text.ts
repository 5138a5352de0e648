import { ApiError } from '../errors.js'
import { describeInvalidUtf8, findInvalidUtf8, foreignEncoding } from '../lib/utf8.js'

/** The longest incomplete UTF-8 sequence that the end of a chunk can leave, in bytes. */
const MAX_INCOMPLETE = 3

const HINT = 'in a spreadsheet, save it as "CSV UTF-8"'

const invalid = (reason: string): ApiError =>
  new ApiError('invalid_request', { details: [{ field: 'body', message: `${reason}; ${HINT}` }] })

/** The bytes of a body, and what is needed to name one of them. */
class Position {
  /** Bytes before the current chunk. */
  #before = 0
  #chunk: Buffer = Buffer.alloc(0)
  #previousEnd: Buffer = Buffer.alloc(0)

  get bytes(): number {
    return this.#before + this.#chunk.length
  }

  advance(chunk: Buffer): void {
    const end = Buffer.concat([this.#previousEnd, this.#chunk.subarray(-MAX_INCOMPLETE)])
    this.#previousEnd = end.subarray(-MAX_INCOMPLETE)
    this.#before += this.#chunk.length
    this.#chunk = chunk
  }

  /** Describes the first byte that is not UTF-8, where everything before the current chunk is. */
  describe(): string {
    const bytes = Buffer.concat([this.#previousEnd, this.#chunk])
    const start = this.#before - this.#previousEnd.length
    // What the kept bytes begin with may be the rest of a character that is complete.
    let from = 0
    while (start > 0 && from < this.#previousEnd.length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1
    const index = from + findInvalidUtf8(bytes.subarray(from))
    return describeInvalidUtf8(bytes[index], start + index)
  }
}

/**
 * The text of a body, without a byte order mark.
 * @throws {ApiError} payload_too_large after `maxBytes`; invalid_request for what is not UTF-8, naming the byte
 */
export async function* readText(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const position = new Position()
  try {
    for await (const chunk of body) {
      const foreign = position.bytes === 0 ? foreignEncoding(chunk) : undefined
      if (foreign !== undefined) throw invalid(foreign)
      position.advance(chunk)
      if (position.bytes > maxBytes) throw new ApiError('payload_too_large')
      yield decoder.decode(chunk, { stream: true })
    }
    position.advance(Buffer.alloc(0))
    yield decoder.decode()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw invalid(position.describe())
  }
}

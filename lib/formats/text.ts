import { ApiError } from '../../errors.js'
import { describeInvalidUtf8, findInvalidUtf8, foreignEncoding } from '../utf8.js'

/** Max length of an incomplete UTF-8 sequence at the end of a chunk, in bytes. */
const MAX_INCOMPLETE = 3

const HINT = 'in a spreadsheet, save the file as "CSV UTF-8"'

const invalid = (reason: string): ApiError => ApiError.invalid('body', `${reason}; ${HINT}`)

/** The position in a body, with the last bytes before it, to describe the first byte that is not UTF-8. */
class Position {
  /** The number of bytes before the current chunk. */
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

  /** Describes the first byte that is not UTF-8. Everything before the current chunk must be UTF-8. */
  describe(): string {
    const bytes = Buffer.concat([this.#previousEnd, this.#chunk])
    const start = this.#before - this.#previousEnd.length
    // The bytes retained of the previous chunk may begin in the middle of a character.
    let from = 0
    while (start > 0 && from < this.#previousEnd.length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1
    const index = from + findInvalidUtf8(bytes.subarray(from))
    return describeInvalidUtf8(bytes[index], start + index)
  }
}

/**
 * Decodes the text of a body, without a byte order mark.
 * @throws {ApiError} payload_too_large after `maxBytes`; invalid_request for a body that is not UTF-8, naming
 * the byte
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

import { ApiError } from '../errors.js'

/**
 * The text of a body, without a byte order mark.
 * @throws {ApiError} payload_too_large after `maxBytes`; invalid_request for what is not UTF-8
 */
export async function* readText(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let bytes = 0
  try {
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > maxBytes) throw new ApiError('payload_too_large')
      yield decoder.decode(chunk, { stream: true })
    }
    yield decoder.decode()
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new ApiError('invalid_request', {
      details: [{ field: 'body', message: 'must be UTF-8; in a spreadsheet, save it as "CSV UTF-8"' }],
    })
  }
}

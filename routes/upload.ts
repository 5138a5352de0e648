import type { Readable } from 'node:stream'
import { ApiError } from '../errors.js'
import { NoResponse, within } from '../lib/deadline.js'

/**
 * Yields the chunks of a request body while it arrives. An iteration that ends early keeps the connection
 * open, because the response still needs it.
 * @param stallMs maximum time without a byte, in ms; time in which the caller does not wait is not counted
 * @throws {ApiError} `request_timeout` when no byte arrives for that long
 */
export async function* readUpload(body: Readable, stallMs: number): AsyncGenerator<Buffer, void> {
  const chunks: AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false })
  for (;;) {
    const next = await within(stallMs, chunks.next()).catch((error: unknown) => {
      throw error instanceof NoResponse ? new ApiError('request_timeout') : error
    })
    if (next.done) return
    yield next.value
  }
}

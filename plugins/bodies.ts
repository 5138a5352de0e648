import { isUtf8 } from 'node:buffer'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { JsonError, parseJson } from '../lib/json.js'
import { describeInvalidUtf8, findInvalidUtf8, foreignEncoding } from '../lib/utf8.js'

const invalid = (message: string): ApiError =>
  new ApiError('invalid_json', { details: [{ field: 'body', message }] })

function readJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw invalid('is empty')
  const foreign = foreignEncoding(bytes)
  if (foreign !== undefined) throw invalid(foreign)
  if (!isUtf8(bytes)) {
    const offset = findInvalidUtf8(bytes)
    throw invalid(describeInvalidUtf8(bytes[offset], offset))
  }
  try {
    return parseJson(bytes.toString('utf8'))
  } catch (error) {
    throw error instanceof JsonError ? invalid(error.message) : error
  }
}

/** Returns the charset of a content type, in lower case and without quotes. */
function charsetOf(contentType: string): string | undefined {
  const parameter = contentType
    .split(';')
    .slice(1)
    .map((part) => part.trim().toLowerCase())
    .find((part) => part.startsWith('charset='))
  return parameter?.slice('charset='.length).replaceAll('"', '').trim()
}

/** Codings that leave the bytes of a body unchanged. */
const PLAIN_CODINGS = new Set(['', 'identity', 'chunked'])

/** Returns the first coding of a header that changes the bytes of a body. */
const codingOf = (header = ''): string | undefined =>
  header
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .find((coding) => !PLAIN_CODINGS.has(coding))

const refuse = (message: string): ApiError =>
  new ApiError('unsupported_media_type', { message, headers: { 'accept-encoding': 'identity' } })

/**
 * Parses request bodies. They must be UTF-8 and not compressed, so that nothing is stored that was not sent.
 * The depth and the number of values of JSON are limited before it is parsed.
 */
export default fp(
  async (app) => {
    app.addHook('preParsing', async ({ headers }) => {
      if (headers['content-length'] === '0') return
      const coding = codingOf(headers['content-encoding']) ?? codingOf(headers['transfer-encoding'])
      if (coding !== undefined) {
        throw refuse(`The body is compressed or encoded (${JSON.stringify(coding)}): send it as it is.`)
      }
      const charset = charsetOf(headers['content-type'] ?? '')
      if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
        throw refuse(`The body is in another encoding (${JSON.stringify(charset)}): send UTF-8.`)
      }
    })
    app.addContentTypeParser(
      'application/json',
      { parseAs: 'buffer' },
      async ({ routeOptions }: FastifyRequest, body: Buffer) =>
        // On a route without a body, an empty one in chunks counts as none (see empty-bodies.ts).
        body.length === 0 && routeOptions.schema?.body === undefined ? undefined : readJson(body),
    )
  },
  { name: 'bodies' },
)

import { createHash } from 'node:crypto'
import { extname } from 'node:path'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { ApiError } from '../errors.js'
import { tagOf } from '../lib/entity-tags.js'
import { NotModified } from '../schemas/web.js'
import { sendTagged } from './tagged.js'

export const HTML = 'text/html'

/** What a browser is sent; a file of another kind is not served. */
export const MEDIA_TYPES: Record<string, string> = {
  '.html': HTML,
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
}

export interface WebFile {
  content: Buffer
  type: string
  etag: string
}

/** A file as it is sent; nothing when it is of a kind that is not. */
export function makeWebFile(name: string, content: Buffer): WebFile | undefined {
  const type = MEDIA_TYPES[extname(name)]
  const etag = tagOf(createHash('sha256').update(content).digest('base64url').slice(0, 22))
  return type === undefined ? undefined : { content, type, etag }
}

/** Sends a file, or says that the one the browser holds is current. */
export function sendWebFile(
  reply: FastifyReply,
  file: WebFile | undefined,
  cacheControl: string,
): FastifyReply {
  if (!file) throw new ApiError('not_found')
  reply.header('cache-control', cacheControl).type(`${file.type}; charset=utf-8`)
  return sendTagged(reply, file.etag, file.content)
}

/** Not as exact as it could be, for all contents of a status are one type to Fastify. */
const FileText: TSchema = Type.String()

/** The answers of a route that sends files of these types. */
export const found = (...types: string[]) => ({
  200: {
    description: 'A file, with its `ETag`.',
    content: Object.fromEntries(types.map((type) => [type, { schema: FileText }])),
  },
  304: NotModified,
})

/** What all routes for people have in common in the API's description. */
export const page = { tags: ['pages'], security: [] }

import { extname } from 'node:path'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { ApiError } from '../errors.js'
import { Representation } from '../lib/representation.js'
import { NotModified } from '../schemas/web.js'

export const HTML = 'text/html'

/** The media types by file extension. A file with another extension is not served. */
export const MEDIA_TYPES: Record<string, string> = {
  '.html': HTML,
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
}

/** A file of the pages, as it is served. */
export interface WebFile {
  representation: Representation
  type: string
}

/** Prepares a file to be served. Returns undefined for an extension that is not in `MEDIA_TYPES`. */
export function makeWebFile(name: string, content: Buffer): WebFile | undefined {
  const type = MEDIA_TYPES[extname(name)]
  return type === undefined ? undefined : { representation: new Representation(content), type }
}

/**
 * Sends a file, or 304 if the browser has the current one.
 * @throws {ApiError} `not_found` without a file
 */
export async function sendWebFile(
  reply: FastifyReply,
  file: WebFile | undefined,
  cacheControl: string,
): Promise<FastifyReply> {
  if (!file) throw new ApiError('not_found')
  reply.header('cache-control', cacheControl).type(`${file.type}; charset=utf-8`)
  return reply.sendRepresentation(file.representation)
}

/** Typed as any schema: Fastify's types merge all `content` schemas of a status into one. */
const FileText: TSchema = Type.String()

/** Response schemas of a route that sends files of these media types. */
export const fileResponses = (...types: string[]) => ({
  200: {
    description: 'A file, with its `ETag`.',
    content: Object.fromEntries(types.map((type) => [type, { schema: FileText }])),
  },
  304: NotModified,
})

/** The part of the schema that all routes of pages share. */
export const pageSchema = { tags: ['pages'], security: [] }

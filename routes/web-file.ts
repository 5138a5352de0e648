import { extname } from 'node:path'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { ApiError } from '../errors.js'
import { Representation } from '../lib/representation.js'
import { NotModified } from '../schemas/web.js'

export const HTML = 'text/html'

/** What a browser is sent; a file of another kind is not served. */
export const MEDIA_TYPES: Record<string, string> = {
  '.html': HTML,
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
}

export interface WebFile {
  representation: Representation
  type: string
}

/** A file as it is sent; nothing when it is of a kind that is not. */
export function makeWebFile(name: string, content: Buffer): WebFile | undefined {
  const type = MEDIA_TYPES[extname(name)]
  return type === undefined ? undefined : { representation: new Representation(content), type }
}

/** Sends a file, or says that the one the browser holds is current. */
export async function sendWebFile(
  reply: FastifyReply,
  file: WebFile | undefined,
  cacheControl: string,
): Promise<FastifyReply> {
  if (!file) throw new ApiError('not_found')
  reply.header('cache-control', cacheControl).type(`${file.type}; charset=utf-8`)
  return reply.sendRepresentation(file.representation)
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

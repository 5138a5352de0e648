import type { FastifyReply } from 'fastify'
import { isHeld } from '../lib/entity-tags.js'

/**
 * Sends a representation with its entity tag, or 304 if `If-None-Match` names the tag (RFC 9110 section
 * 13.1.2).
 */
export function sendTagged(reply: FastifyReply, etag: string, representation: unknown): FastifyReply {
  reply.header('etag', etag)
  return isHeld(reply.request.headers['if-none-match'], etag)
    ? reply.code(304).removeHeader('content-type').send()
    : reply.send(representation)
}

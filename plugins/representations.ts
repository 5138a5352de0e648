import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { preferredCoding } from '../lib/accept.js'
import { isHeld, tagOf } from '../lib/entity-tags.js'
import { CODINGS, type Representation } from '../lib/representation.js'

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends a public document or file in the content coding that the client prefers, or 304 if the client has
     * it already.
     */
    sendRepresentation(representation: Representation): Promise<FastifyReply>
  }
}

/**
 * Decorates replies with `sendRepresentation`: public documents and files are not generated or compressed for
 * each request.
 */
export default fp(
  async (app) => {
    app.decorateReply('sendRepresentation', async function (this: FastifyReply, representation) {
      const { headers } = this.request
      const coding = preferredCoding(headers['accept-encoding'], CODINGS)
      this.header('vary', 'accept-encoding').header('etag', tagOf(representation.opaqueTag(coding)))
      if (isHeld(headers['if-none-match'], tagOf(representation.opaqueTag('identity')))) {
        return this.code(304).removeHeader('content-type').send()
      }
      if (coding !== 'identity') this.header('content-encoding', coding)
      return this.send(await representation.encoded(coding))
    })
  },
  { name: 'representations' },
)

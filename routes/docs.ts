import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { describeFeed } from '../schemas/asyncapi.js'

const Document = Type.Object({ asyncapi: Type.String() }, { additionalProperties: true })

/** What somebody reads who writes a client. */
const docs: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/asyncapi.json',
    {
      config: { withoutDatabase: true },
      schema: {
        tags: ['service'],
        summary: 'The feed as an AsyncAPI 3.0 document',
        security: [],
        response: { 200: Document },
      },
    },
    ({ host, protocol }) => describeFeed({ host, protocol }),
  )
}

export default docs

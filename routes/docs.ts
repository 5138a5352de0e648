import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { describeFeed } from '../schemas/asyncapi.js'

/** What somebody reads who writes a client. */
const docs: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/asyncapi.json',
    {
      config: { withoutDatabase: true },
      schema: { tags: ['service'], summary: 'The feed as an AsyncAPI 3.0 document', security: [] },
    },
    ({ host, protocol }) => describeFeed({ host, protocol }),
  )
}

export default docs

import fastifySwagger from '@fastify/swagger'
import fp from 'fastify-plugin'
import { SECURITY_SCHEMES } from '../schemas/security.js'

/** Collects the routes' schemas into the OpenAPI 3.1 document that `/api/openapi.json` serves. */
export default fp(
  async (app) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Silo',
          description: 'Items and their revisions, and every change to them live.',
          version: '1',
        },
        components: {
          securitySchemes: SECURITY_SCHEMES,
        },
        security: [{ bearer: [] }, { cookie: [] }],
      },
    })
    app.get(
      '/api/openapi.json',
      {
        config: { withoutDatabase: true },
        schema: { tags: ['service'], summary: 'This API as an OpenAPI 3.1 document', security: [] },
      },
      () => app.swagger(),
    )
  },
  { name: 'openapi' },
)

import fastifySwagger from '@fastify/swagger'
import { KindGuard, Type } from '@sinclair/typebox'
import fp from 'fastify-plugin'
import { SECURITY_SCHEMES } from '../schemas/security.js'

const Document = Type.Object({ openapi: Type.String() }, { additionalProperties: true })

/** As a client sees it: what has a default may be left out. */
function asSent(schema: unknown): unknown {
  if (!KindGuard.IsObject(schema)) return schema
  const isNeeded = (name: string) => schema.properties[name]?.default === undefined
  return { ...schema, required: schema.required?.filter(isNeeded) ?? [] }
}

/** Collects the routes' schemas into the OpenAPI 3.1 document that `/api/openapi.json` serves. */
export default fp(
  async (app) => {
    await app.register(fastifySwagger, {
      transform: ({ schema, url }) => ({
        schema: { ...schema, querystring: asSent(schema.querystring), body: asSent(schema.body) },
        url,
      }),
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
        schema: {
          tags: ['service'],
          summary: 'This API as an OpenAPI 3.1 document',
          security: [],
          response: { 200: Document },
        },
      },
      () => app.swagger(),
    )
  },
  { name: 'openapi' },
)

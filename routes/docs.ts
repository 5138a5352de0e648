import { readFile } from 'node:fs/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { keepsDocument } from '../lib/representation.js'
import { describeFeed } from '../schemas/asyncapi.js'
import { NotModified, SwaggerUiParams } from '../schemas/web.js'
import { type WebFile, fileResponses, makeWebFile, pageSchema, sendWebFile } from './web-file.js'

const Document = Type.Object(
  { asyncapi: Type.String({ description: 'The version of AsyncAPI.' }) },
  { additionalProperties: true },
)

/**
 * The files of Swagger UI that the API reference loads. They are served from the installed package, not from
 * a CDN.
 */
const SWAGGER_UI = ['swagger-ui.css', 'swagger-ui-bundle.js']

async function readSwaggerUi(): Promise<Map<string, WebFile>> {
  const files = new Map<string, WebFile>()
  for (const name of SWAGGER_UI) {
    const content = await readFile(new URL(import.meta.resolve(`swagger-ui-dist/${name}`)))
    const file = makeWebFile(name, content)
    if (file) files.set(name, file)
  }
  return files
}

/**
 * Serves the documentation for authors of clients: the AsyncAPI document and the files of the API reference.
 */
const docs: FastifyPluginAsyncTypebox = async (app) => {
  const swaggerUi = await readSwaggerUi()
  const withoutDatabase = { config: { withoutDatabase: true } }

  const feedFor = keepsDocument((origin) => describeFeed(origin, app.site.documentedCookie))

  app.get(
    '/api/asyncapi.json',
    {
      ...withoutDatabase,
      schema: {
        tags: ['service'],
        summary: 'The feed as an AsyncAPI 3.0 document',
        security: [],
        response: { 200: Document, 304: NotModified },
      },
    },
    async (_request, reply) =>
      reply
        .type('application/json; charset=utf-8')
        .header('cache-control', 'no-cache')
        .sendRepresentation(feedFor(app.site.origin)),
  )

  app.get(
    '/docs/:name',
    {
      ...withoutDatabase,
      schema: {
        ...pageSchema,
        summary: 'A file of the API reference',
        errors: ['not_found'],
        params: SwaggerUiParams,
        response: fileResponses('text/css', 'text/javascript'),
      },
    },
    async (request, reply) => sendWebFile(reply, swaggerUi.get(request.params.name), 'no-cache'),
  )
}

export default docs

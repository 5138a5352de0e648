import fastifySwagger from '@fastify/swagger'
import { KindGuard, Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { ERRORS, type ErrorCode } from '../errors.js'
import { ErrorBody } from '../schemas/errors.js'
import { Representation } from '../lib/representation.js'
import { securitySchemes } from '../schemas/security.js'
import { NotModified } from '../schemas/web.js'

declare module 'fastify' {
  interface FastifySchema {
    /**
     * Errors of this route, in addition to those of every route of its kind. Only for the documentation of
     * the API.
     */
    errors?: readonly ErrorCode[]
  }
}

const DESCRIPTION = `
Items, their revisions, and a live feed of every change. The specification is \`docs/SPECIFICATION.md\`;
complete clients are in \`docs/clients.md\`. The events of the feed are described in
[/api/asyncapi.json](/api/asyncapi.json).

**To try it out here**, [sign in](/login?next=%2Fdocs): the requests of this page then carry your
session. Or press *Authorize* and paste an API token.

**To send requests from a program**, create an API token and send it as \`Authorization: Bearer …\`.
A session's token, from \`POST /api/auth/login\`, works in the same way.

Every error has the same form: \`error\` is its code, which is part of the contract, \`message\` is for
people, and \`details\` names the invalid fields.
`

const TAGS = [
  { name: 'feed', description: 'The live feed of every change' },
  { name: 'items', description: 'Parts, assemblies, drawings, documents, tools and consumables' },
  { name: 'revisions', description: 'The content of an item after each change, and the reason for it' },
  { name: 'auth', description: 'Sessions and API tokens' },
  { name: 'users', description: 'The users who may sign in; for admins only' },
  { name: 'server', description: 'The mode of the service' },
  { name: 'health', description: 'Liveness and readiness, for load balancers' },
  { name: 'service', description: 'The descriptions of this API' },
  { name: 'pages', description: 'Pages for a browser' },
]

const JSON_TYPE = 'application/json; charset=utf-8'
const Document = Type.Object(
  { openapi: Type.String({ description: 'The version of OpenAPI.' }) },
  { additionalProperties: true },
)

/** Returns a schema as a client sees it: a field with a default is optional. */
function asSent(schema: unknown): unknown {
  if (!KindGuard.IsObject(schema)) return schema
  const isNeeded = (name: string) => schema.properties[name]?.default === undefined
  return { ...schema, required: schema.required?.filter(isNeeded) ?? [] }
}

/**
 * Returns an operation id made of the method and the path. Without underscores: Swagger UI warns about them
 * in a URL.
 */
const operationIdOf = (methods: string[], url: string): string =>
  [...methods, ...(url.match(/[a-z]+/gi) ?? [])].join('-').toLowerCase()

interface Route {
  schema: FastifySchema
  methods: string[]
  usesDatabase: boolean
  anyHost: boolean
}

const isJson = (body: unknown): boolean => typeof body === 'object' && body !== null && !('content' in body)

/** Returns every error code that a route can respond with. */
function errorsOf({ schema, methods, usesDatabase, anyHost }: Route): ErrorCode[] {
  const { errors = [], body, security } = schema
  const isGuarded = security?.length !== 0
  const isWrite = !methods.includes('GET')
  const possible: [boolean, ...ErrorCode[]][] = [
    [true, ...errors],
    [true, 'invalid_request'],
    [!anyHost, 'misdirected_request'],
    // The body of a write is parsed even if the route expects none.
    [isWrite && (body === undefined || isJson(body)), 'invalid_json'],
    [isWrite, 'request_timeout', 'payload_too_large', 'unsupported_media_type'],
    [isGuarded, 'unauthenticated'],
    [isGuarded && isWrite, 'cross_origin'],
    [usesDatabase, 'database_unavailable', 'overloaded'],
    [true, 'internal'],
  ]
  return [...new Set(possible.flatMap(([is, ...codes]) => (is ? codes : [])))]
}

/** Returns the error responses by status: each code with its message and an example. */
function responsesOf(codes: ErrorCode[]) {
  const statuses = new Set(codes.map((code) => ERRORS[code].status))
  return Object.fromEntries(
    [...statuses].map((status) => {
      const here = codes.filter((code) => ERRORS[code].status === status)
      return [
        status,
        {
          ...ErrorBody,
          properties: { ...ErrorBody.properties, error: { ...ErrorBody.properties.error, enum: here } },
          description: here.map((code) => `\`${code}\`: ${ERRORS[code].message}`).join('\n\n'),
          examples: here.map((code) => ({ error: code, message: ERRORS[code].message, details: [] })),
        },
      ]
    }),
  )
}

/** Collects the routes' schemas into the OpenAPI 3.1 document that `/api/openapi.json` serves. */
export default fp(
  async (app) => {
    await app.register(fastifySwagger, {
      transform: ({ schema, url, route }) => {
        const { errors, ...described } = schema
        const methods = [route.method].flat()
        const codes = errorsOf({
          schema: { ...described, ...(errors && { errors }) },
          methods,
          usesDatabase: route.config?.withoutDatabase !== true,
          anyHost: route.config?.anyHost === true,
        })
        return {
          schema: {
            ...described,
            operationId: operationIdOf(methods, url),
            querystring: asSent(schema.querystring),
            body: asSent(schema.body),
            response: { ...responsesOf(codes), ...Object(schema.response) },
          },
          url,
        }
      },
      openapi: {
        openapi: '3.1.0',
        // Relative: a client that has loaded the document can reach the service at the same origin.
        servers: [{ url: '/' }],
        info: { title: 'Silo', description: DESCRIPTION, version: '1' },
        tags: TAGS,
        components: {
          securitySchemes: securitySchemes(app.site.documentedCookie),
        },
        security: [{ bearer: [] }, { cookie: [] }],
      },
    })
    /** Made by the first request: not all routes are registered yet. */
    let document: Representation | undefined
    app.get(
      '/api/openapi.json',
      {
        config: { withoutDatabase: true },
        schema: {
          tags: ['service'],
          summary: 'This API as an OpenAPI 3.1 document',
          security: [],
          response: { 200: Document, 304: NotModified },
        },
      },
      async (_request, reply) => {
        document ??= new Representation(Buffer.from(JSON.stringify(app.swagger())))
        return reply.type(JSON_TYPE).header('cache-control', 'no-cache').sendRepresentation(document)
      },
    )
  },
  { name: 'openapi', dependencies: ['site', 'representations'] },
)

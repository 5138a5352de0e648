import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { curlOf } from '../lib/formats/curl.js'

const Media = Type.Object({ example: Type.Optional(Type.Unknown()) })

/** The part of an operation that its example is made from. */
const Operation = Type.Object({
  description: Type.Optional(Type.String()),
  security: Type.Optional(Type.Array(Type.Unknown())),
  parameters: Type.Optional(
    Type.Array(
      Type.Object({ name: Type.String(), in: Type.String(), example: Type.Optional(Type.Unknown()) }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ content: Type.Record(Type.String(), Media) })),
})

const Document = Type.Object({
  info: Type.Object({ description: Type.String() }),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Operation)),
})

function write(type: string, example: unknown): string {
  if (typeof example === 'string') return example
  return type === 'application/x-www-form-urlencoded'
    ? new URLSearchParams(example as Record<string, string>).toString()
    : JSON.stringify(example)
}

function exampleOf(
  origin: string,
  path: string,
  method: string,
  operation: Static<typeof Operation>,
): string {
  const { parameters = [], requestBody, security } = operation
  const inPath = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    String(parameters.find((parameter) => parameter.in === 'path' && parameter.name === name)?.example),
  )
  const query = new URLSearchParams(
    parameters
      .filter((parameter) => parameter.in === 'query' && parameter.example !== undefined)
      .map(({ name, example }): [string, string] => [name, String(example)]),
  ).toString()
  const [type, media] = Object.entries(requestBody?.content ?? {})[0] ?? []
  return curlOf({
    method: method.toUpperCase(),
    url: `${origin}${inPath}${query && `?${query}`}`,
    headers: [
      ...(security?.length === 0 ? [] : ['Authorization: Bearer $SILO_TOKEN']),
      // A page, because a stream would not end by itself.
      ...(path === '/api/events' ? ['Accept: application/json'] : []),
      ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    ],
    ...(type !== undefined && media && { body: write(type, media.example) }),
  })
}

/** Returns a copy of the OpenAPI document with a curl example in every operation, for the given origin. */
export function addCurl(document: object, origin: string): Static<typeof Document> {
  const whole: unknown = structuredClone(document)
  Value.Assert(Document, whole)
  whole.info.description = whole.info.description.replaceAll('{origin}', origin)
  for (const [path, methods] of Object.entries(whole.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const words = operation.description === undefined ? '' : `${operation.description}\n\n`
      operation.description = `${words}\`\`\`sh\n${exampleOf(origin, path, method, operation)}\n\`\`\``
    }
  }
  return whole
}

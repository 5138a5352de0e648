import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** The part of JSON Schema that the service's OpenAPI document uses for parameters and bodies. */
const Schema = Type.Recursive((This) =>
  Type.Partial(
    Type.Object({
      type: Type.Union([Type.String(), Type.Array(Type.String())]),
      const: Type.Unknown(),
      enum: Type.Array(Type.Unknown()),
      anyOf: Type.Array(This),
      pattern: Type.String(),
      format: Type.String(),
      minLength: Type.Integer(),
      maxLength: Type.Integer(),
      minimum: Type.Number(),
      maximum: Type.Number(),
      items: This,
      maxItems: Type.Integer(),
      properties: Type.Record(Type.String(), This),
      required: Type.Array(Type.String()),
    }),
  ),
)
/** A schema of a parameter or a body. */
export type JsonSchema = Static<typeof Schema>

const Content = Type.Record(Type.String(), Type.Object({ schema: Schema }))
const Described = Type.Object({
  parameters: Type.Optional(
    Type.Array(
      Type.Object({
        in: Type.Union([Type.Literal('path'), Type.Literal('query'), Type.Literal('header')]),
        name: Type.String(),
        required: Type.Optional(Type.Boolean()),
        schema: Schema,
      }),
    ),
  ),
  requestBody: Type.Optional(Type.Object({ content: Content })),
  responses: Type.Record(Type.String(), Type.Object({ content: Type.Optional(Content) })),
})
const Document = Type.Object({ paths: Type.Record(Type.String(), Type.Record(Type.String(), Described)) })

/** A parameter of an operation. */
export type Parameter = NonNullable<Static<typeof Described>['parameters']>[number]

/** One method of one path, as the document describes it. */
export interface Operation {
  /** `PUT /api/items/{part_number}` */
  id: string
  method: string
  path: string
  parameters: Parameter[]
  /** The schemas of the request body, by content type. */
  body: Record<string, JsonSchema>
  /** The schemas of the response, by status or range (`4XX`) and by content type; none without a body. */
  responses: Record<string, Record<string, JsonSchema>>
}

const schemasOf = (content: Static<typeof Content> = {}): Record<string, JsonSchema> =>
  Object.fromEntries(Object.entries(content).map(([type, { schema }]) => [type, schema]))

/** Returns the operations of an OpenAPI 3.1 document. */
export function readDocument(text: string): Operation[] {
  const document: unknown = JSON.parse(text)
  Value.Assert(Document, document)
  const { paths } = document
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([verb, { parameters = [], requestBody, responses }]) => {
      const method = verb.toUpperCase()
      return {
        id: `${method} ${path}`,
        method,
        path,
        parameters,
        body: schemasOf(requestBody?.content),
        responses: Object.fromEntries(
          Object.entries(responses).map(([status, { content }]) => [status, schemasOf(content)]),
        ),
      }
    }),
  )
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')

function matches({ path }: Operation, address: string): boolean {
  const pattern = path
    .split('/')
    .map((part) => (part.startsWith('{') ? '[^/]*' : escape(part)))
    .join('/')
  return new RegExp(`^${pattern}$`).test(address)
}

/**
 * Returns the operation of a request, if the document has one. HEAD is treated as GET, the target `*` as `/`.
 */
export function findOperation(
  operations: readonly Operation[],
  method: string,
  target: string,
): Operation | undefined {
  const [address = ''] = target
    .replace(/^\*/, '/')
    .replace(/^https?:\/\/[^/]*/, '')
    .split(/[?#\s]/)
  const sought = method === 'HEAD' ? 'GET' : method
  const parameters = ({ path }: Operation) => path.split('{').length
  return operations
    .filter((operation) => operation.method === sought && matches(operation, address))
    .sort((a, b) => parameters(a) - parameters(b))[0]
}

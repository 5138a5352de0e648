import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** As much of JSON Schema as the service's document uses to say what it takes. */
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

export type Parameter = NonNullable<Static<typeof Described>['parameters']>[number]

/** One method of one address, as the document describes it. */
export interface Operation {
  /** `PUT /api/items/{part_number}` */
  id: string
  method: string
  path: string
  parameters: Parameter[]
  /** The schema of the body, by its content type. */
  body: Record<string, JsonSchema>
  /** By status, or a range of them like `4XX`: the schemas by content type; none where there is no body. */
  responses: Record<string, Record<string, JsonSchema>>
}

const schemasOf = (content: Static<typeof Content> = {}): Record<string, JsonSchema> =>
  Object.fromEntries(Object.entries(content).map(([type, { schema }]) => [type, schema]))

/** What an OpenAPI 3.1 document describes. */
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

/** The operation that answers a request; nothing when the document knows none. HEAD is answered as GET, `*` as `/`. */
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

import type { Static, TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject, type SchemaValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import fp from 'fastify-plugin'
import { ApiError, type ErrorDetail } from '../errors.js'
import { isTagList } from '../lib/entity-tags.js'
import { TAG_LIST_FORMAT } from '../schemas/conditions.js'
import { findUnstorable, isText } from '../schemas/properties.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Compiles the check of a value that is no request's body by the rules of one. */
    compileCheck<Schema extends TSchema>(schema: Schema): (value: unknown) => Checked<Static<Schema>>
  }
}

/** A value that its schema accepts, or what is wrong with it, one detail a field. */
type Checked<Value> = { value: Value } | { errors: ErrorDetail[] }

/** A segment of a JSON pointer (RFC 6901 section 3), written and read. */
const escapeSegment = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
const readSegment = (segment: string): string => segment.replaceAll('~1', '/').replaceAll('~0', '~')

/** The check behind the keyword `storable`. */
const checkStorable: SchemaValidateFunction = (_, properties: unknown, __, context): boolean => {
  const found = findUnstorable(properties)
  if (!found) return true
  const path = found.path.map((name) => `/${escapeSegment(name)}`).join('')
  checkStorable.errors = [
    { instancePath: `${context?.instancePath ?? ''}${path}`, message: found.reason, params: {} },
  ]
  return false
}

function validator(coerceTypes: false | 'array'): Ajv {
  const ajv = new Ajv({
    coerceTypes,
    useDefaults: true,
    removeAdditional: false,
    allErrors: true,
    strict: false,
  })
  addFormats.default(ajv)
  ajv.addFormat('text', isText)
  ajv.addFormat(TAG_LIST_FORMAT, isTagList)
  ajv.addKeyword({ keyword: 'storable', type: 'object', validate: checkStorable })
  return ajv
}

/** Where in the request an error stands, as the client wrote it: `properties.weight`, `limit`; the part itself if none. */
function fieldOf(error: ErrorObject, part: string): string {
  const path = error.instancePath.split('/').slice(1).map(readSegment)
  const { missingProperty, additionalProperty } = error.params as Record<string, string | undefined>
  const name = missingProperty ?? additionalProperty
  return [...path, ...(name === undefined ? [] : [name])].join('.') || part
}

const FORMAT_REASONS: Partial<Record<string, string>> = {
  text: 'must not hold NUL or broken characters',
  [TAG_LIST_FORMAT]: 'must be * or a list of entity tags in quotes, such as "3"',
}

function reasonOf(error: ErrorObject): string {
  switch (error.keyword) {
    case 'required':
      return 'is required'
    case 'additionalProperties':
      return 'is not known here'
    case 'enum':
      return `must be one of ${(error.params.allowedValues as unknown[]).map(String).join(', ')}`
    case 'format':
      return FORMAT_REASONS[String(error.params.format)] ?? `must be a valid ${error.params.format}`
    default:
      return error.message ?? 'is not valid'
  }
}

/** What a schema refuses, one detail a field. */
function detailsOf(errors: ErrorObject[], part: string): ErrorDetail[] {
  const details = new Map<string, ErrorDetail>()
  for (const error of errors) {
    const field = fieldOf(error, part)
    if (!details.has(field)) details.set(field, { field, message: reasonOf(error) })
  }
  return [...details.values()]
}

/** The error of a request that its schema refuses. */
export function invalidRequest(errors: ErrorObject[], part: string): ApiError {
  return new ApiError('invalid_request', { details: detailsOf(errors, part) })
}

/**
 * Compiles the routes' schemas. A body must have the types it is declared with; what comes in the address is text and is
 * converted. Nothing unknown is silently dropped.
 */
export default fp(
  async (app) => {
    const body = validator(false)
    const address = validator('array')
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? body : address).compile(schema))
    app.setSchemaErrorFormatter((errors, part) => invalidRequest(errors as ErrorObject[], part))
    // RFC 9112, section 3.2; who speaks an older HTTP knows of no Host.
    app.addHook('onRequest', async ({ headers, raw }) => {
      if (headers.host === undefined && raw.httpVersion === '1.1') {
        throw new ApiError('invalid_request', { details: [{ field: 'host', message: 'is required' }] })
      }
    })
    app.decorate('compileCheck', <Schema extends TSchema>(schema: Schema) => {
      const check = body.compile<Static<Schema>>(schema)
      return (value: unknown) =>
        check(value) ? { value } : { errors: detailsOf(check.errors ?? [], 'body') }
    })
  },
  { name: 'validation' },
)

import { Ajv, type ErrorObject } from 'ajv'
import addFormats from 'ajv-formats'
import fp from 'fastify-plugin'
import { ApiError, type ErrorDetail } from '../errors.js'

/** Text that PostgreSQL and JSON can both hold: no NUL and no half of a surrogate pair. */
const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

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
  return ajv
}

/** Where in the request an error stands, as the client wrote it: `properties.weight`, `limit`; the part itself if none. */
function fieldOf(error: ErrorObject, part: string): string {
  const path = error.instancePath.split('/').slice(1)
  const { missingProperty, additionalProperty } = error.params as Record<string, string | undefined>
  const name = missingProperty ?? additionalProperty
  return [...path, ...(name === undefined ? [] : [name])].join('.') || part
}

function reasonOf(error: ErrorObject): string {
  switch (error.keyword) {
    case 'required':
      return 'is required'
    case 'additionalProperties':
      return 'is not known here'
    case 'enum':
      return `must be one of ${(error.params.allowedValues as unknown[]).join(', ')}`
    case 'format':
      return error.params.format === 'text'
        ? 'must not hold NUL or broken characters'
        : `must be a valid ${error.params.format}`
    default:
      return error.message ?? 'is not valid'
  }
}

/** The error of a request that its schema refuses: one detail a field. */
export function invalidRequest(errors: ErrorObject[], part: string): ApiError {
  const details = new Map<string, ErrorDetail>()
  for (const error of errors) {
    const field = fieldOf(error, part)
    if (!details.has(field)) details.set(field, { field, message: reasonOf(error) })
  }
  return new ApiError('invalid_request', { details: [...details.values()] })
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
  },
  { name: 'validation' },
)

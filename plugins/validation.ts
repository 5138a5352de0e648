import type { Static, TSchema } from '@sinclair/typebox'
import {
  Ajv,
  type AnySchema,
  type ErrorObject,
  type SchemaValidateFunction,
  type ValidateFunction,
} from 'ajv'
import addFormats from 'ajv-formats'
import fp from 'fastify-plugin'
import { ApiError, type ErrorDetail } from '../errors.js'
import { isTagList } from '../lib/entity-tags.js'
import { TAG_LIST_FORMAT } from '../schemas/conditions.js'
import { findUnstorable, isText } from '../schemas/properties.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Compiles a check for a value that is not the body of a request, by the rules for bodies. */
    compileCheck<Schema extends TSchema>(schema: Schema): (value: unknown) => Checked<Static<Schema>>
  }
}

/** A valid value, or its errors, one detail per field. */
type Checked<Value> = { value: Value } | { errors: ErrorDetail[] }

/** Escape and unescape a segment of a JSON pointer (RFC 6901, section 3). */
const escapeSegment = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
const readSegment = (segment: string): string => segment.replaceAll('~1', '/').replaceAll('~0', '~')

/** Validates the schema keyword `storable`. */
const checkStorable: SchemaValidateFunction = (_, properties: unknown, __, context): boolean => {
  const found = findUnstorable(properties)
  if (!found) return true
  const path = found.path.map((name) => `/${escapeSegment(name)}`).join('')
  checkStorable.errors = [
    { instancePath: `${context?.instancePath ?? ''}${path}`, message: found.reason, params: {} },
  ]
  return false
}

/** Maximum number of wrong fields in one response. */
const MAX_DETAILS = 50
/** Maximum length of a field's name in a response, in characters. */
const MAX_FIELD_LENGTH = 200
/**
 * Maximum number of members and elements of a value whose wrong fields are all reported. Of a larger value
 * only the first is reported: an error for each of a hundred thousand unknown fields blocks the event loop
 * and makes a response of megabytes.
 */
const MAX_EXPLAINED_MEMBERS = 1000

type Coercion = false | 'array'

function compiler(coerceTypes: Coercion, allErrors: boolean): Ajv {
  const ajv = new Ajv({ coerceTypes, useDefaults: true, removeAdditional: false, allErrors, strict: false })
  addFormats.default(ajv)
  ajv.addFormat('text', isText)
  ajv.addFormat(TAG_LIST_FORMAT, isTagList)
  ajv.addKeyword({ keyword: 'storable', type: 'object', validate: checkStorable })
  return ajv
}

/** Whether a value has more than `limit` members and elements, at all depths. Stops counting at the limit. */
function hasMoreMembers(value: unknown, limit: number): boolean {
  const remaining = [value]
  let count = 0
  for (let next = remaining.pop(); next !== undefined; next = remaining.pop()) {
    if (typeof next !== 'object' || next === null) continue
    if (Array.isArray(next) && next.length > limit) return true
    const members = next as Record<string, unknown>
    for (const name in members) {
      if (++count > limit) return true
      if (typeof members[name] === 'object') remaining.push(members[name])
    }
  }
  return false
}

/** Checks a value and fills in its defaults. Returns its errors, or undefined if it is valid. */
type Check = (value: unknown) => ErrorObject[] | undefined

/**
 * Compiles schemas to checks that stop at the first error. A small invalid value is checked a second time to
 * find all of its errors, by a check that is compiled when it is first needed.
 */
function validator(coerceTypes: Coercion): (schema: AnySchema) => Check {
  const deciding = compiler(coerceTypes, false)
  const explaining = compiler(coerceTypes, true)
  return (schema) => {
    const decide = deciding.compile(schema)
    let explain: ValidateFunction | undefined
    return (value) => {
      if (decide(value)) return undefined
      const first = decide.errors ?? []
      if (hasMoreMembers(value, MAX_EXPLAINED_MEMBERS)) return first
      explain ??= explaining.compile(schema)
      return explain(value) ? first : (explain.errors ?? first)
    }
  }
}

/** Shortens a name that is too long for a response, without splitting a character. */
const shorten = (name: string): string =>
  name.length > MAX_FIELD_LENGTH ? `${name.slice(0, MAX_FIELD_LENGTH).toWellFormed()}…` : name

/**
 * Returns the path of a wrong field as the client wrote it (`properties.weight`, `limit`), or the part of the
 * request if the error has no field.
 */
function fieldOf(error: ErrorObject, part: string): string {
  const path = error.instancePath.split('/').slice(1).map(readSegment)
  const { missingProperty, additionalProperty } = error.params as Record<string, string | undefined>
  const name = missingProperty ?? additionalProperty
  return shorten([...path, ...(name === undefined ? [] : [name])].join('.')) || part
}

const FORMAT_REASONS: Partial<Record<string, string>> = {
  text: 'must not contain NUL or unpaired surrogates',
  [TAG_LIST_FORMAT]: 'must be * or a list of entity tags in quotes, such as "3"',
}

function messageOf(error: ErrorObject): string {
  switch (error.keyword) {
    case 'required':
      return 'is required'
    case 'additionalProperties':
      return 'is not a known field'
    case 'enum':
      return `must be one of ${(error.params.allowedValues as unknown[]).map(String).join(', ')}`
    case 'format':
      return FORMAT_REASONS[String(error.params.format)] ?? `must be a valid ${error.params.format}`
    default:
      return error.message ?? 'is not valid'
  }
}

/** Converts validation errors to details, one per field, for at most `MAX_DETAILS` fields. */
function detailsOf(errors: ErrorObject[], part: string): ErrorDetail[] {
  const details = new Map<string, ErrorDetail>()
  for (const error of errors) {
    if (details.size === MAX_DETAILS) break
    const field = fieldOf(error, part)
    if (!details.has(field)) details.set(field, { field, message: messageOf(error) })
  }
  return [...details.values()]
}

/** Returns the `invalid_request` error for the validation errors of a part of a request. */
export function invalidRequest(errors: ErrorObject[], part: string): ApiError {
  return new ApiError('invalid_request', { details: detailsOf(errors, part) })
}

/** Shared by the applications of a process, because a validator compiles a schema object only once. */
const checkBody = validator(false)
const checkAddress = validator('array')

/**
 * Compiles the routes' schemas. The values of a body must have the declared types; parameters and headers are
 * text and are converted. Unknown fields are never dropped silently.
 */
export default fp(
  async (app) => {
    app.setValidatorCompiler<AnySchema>(({ schema, httpPart = 'body' }) => {
      const check = (httpPart === 'body' ? checkBody : checkAddress)(schema)
      return (value: unknown) => {
        const errors = check(value)
        return errors ? { error: invalidRequest(errors, httpPart) } : true
      }
    })
    app.decorate('compileCheck', <Schema extends TSchema>(schema: Schema) => {
      const check = checkBody(schema)
      return (value: unknown) => {
        const errors = check(value)
        return errors ? { errors: detailsOf(errors, 'body') } : { value: value as Static<Schema> }
      }
    })
  },
  { name: 'validation' },
)

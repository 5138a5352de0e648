import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { parse } from 'csv-parse/sync'
import { StreamReader } from '../conformance/grammar.js'
import { ERRORS } from '../../errors.js'
import { isTagList } from '../../lib/entity-tags.js'
import { TAG_LIST_FORMAT } from '../../schemas/conditions.js'
import { ErrorBody } from '../../schemas/errors.js'
import { EVENT_DATA } from '../../schemas/events.js'
import { findUnstorable, isText } from '../../schemas/properties.js'
import { type JsonSchema, type Operation, findOperation } from './document.js'
import { INJECTED_HEADER } from './hostile.js'
import type { Answer, Request } from './wire.js'

/** What a response must never contain. No text that the fuzzer sends matches these patterns. */
const LEAKS: [what: string, pattern: RegExp][] = [
  [
    'a stack',
    /\n\s+at \S|\bat (?:async )?[\w.<>]+ \(|node:internal|node_modules|file:\/\/\/|\.[jt]s:\d+:\d+/,
  ],
  [
    'SQL',
    /PostgresError|syntax error at|invalid (?:input syntax|byte sequence)|violates \w+|duplicate key value/i,
  ],
  ['SQL', /relation "|column "|pg_catalog|\b(?:from|insert into) (?:items|users|tokens|events)\b/i],
  ['the hash of a password', /\$scrypt\$/],
]

/**
 * Error codes that a 503 may have: a request has set the mode, or more imports run than the service allows.
 */
const DUE_UNAVAILABLE = new Set(['server_read_only', 'overloaded'])

/** Returns the schema without additional properties, so that a property that is exposed by mistake fails. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return 'properties' in inner && !('additionalProperties' in inner)
    ? { ...inner, additionalProperties: false }
    : inner
}

function openAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false })
  addFormats.default(ajv)
  ajv.addFormat('text', isText)
  ajv.addFormat(TAG_LIST_FORMAT, isTagList)
  ajv.addKeyword({
    keyword: 'storable',
    type: 'object',
    validate: (_: unknown, properties: unknown) => findUnstorable(properties) === undefined,
  })
  ajv.addVocabulary(['example'])
  return ajv
}

const quote = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)

const isErrorCode = (code: unknown): code is keyof typeof ERRORS =>
  typeof code === 'string' && Object.hasOwn(ERRORS, code)

function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const DECODERS = new Map([
  ['gzip', gunzipSync],
  ['br', brotliDecompressSync],
])

/**
 * Undoes the content coding of a response body.
 * @returns undefined when the body is not in the coding that its header names
 */
function decode(headers: Map<string, string>, body: Buffer): Buffer | undefined {
  const coding = headers.get('content-encoding')
  if (coding === undefined) return body
  try {
    return DECODERS.get(coding)?.(body)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined
    throw error
  }
}

/** Checks a response against the OpenAPI document, and against the rules that hold for every response. */
export class Judge {
  readonly #ajv = openAjv()
  readonly #compiled = new Map<unknown, ValidateFunction>()
  readonly #errors: Operation['responses'] = { '4XX': { 'application/json': ErrorBody } }

  constructor(readonly operations: readonly Operation[]) {}

  /** Returns a sentence for each problem of the response. */
  judge(request: Request, { status, headers, body: encoded, complete }: Answer): string[] {
    const operation = findOperation(this.operations, request.method, request.target)
    const wrong: string[] = []
    const decoded = complete && encoded.length > 0 ? decode(headers, encoded) : encoded
    if (!decoded) wrong.push(`the body is not in the coding ${quote(headers.get('content-encoding') ?? '')}`)
    const body = decoded ?? encoded
    const text = body.toString('utf8')
    const head = [...headers].map(([name, value]) => `${name}: ${value}`).join('\n')
    const isProgram = /^text\/(?:javascript|css)/.test(headers.get('content-type') ?? '')
    for (const [what, pattern] of isProgram ? [] : LEAKS) {
      const found = pattern.exec(text) ?? pattern.exec(head)
      if (found) wrong.push(`the response shows ${what}: ${quote(found[0])}`)
    }
    if (headers.has(INJECTED_HEADER)) wrong.push('a line break got out of a header')

    // The HTTP parser may refuse any request, with a response that the operation does not document.
    const responses = { ...this.#errors, ...operation?.responses }
    const schemas = responses[status] ?? responses[`${Math.floor(status / 100)}XX`]
    if (!schemas)
      return [...wrong, `the document has no response ${status} of ${operation?.id ?? 'an unknown address'}`]
    if (status >= 500) wrong.push(...this.#judgeFault(status, text, operation))

    if (request.method === 'HEAD' || Object.keys(schemas).length === 0) {
      return body.length > 0 ? [...wrong, `a response ${status} has a body: ${quote(text)}`] : wrong
    }
    const [type = ''] = (headers.get('content-type') ?? '').split(';')
    const schema = schemas[type]
    if (!schema)
      return [
        ...wrong,
        `the document has no content type ${quote(type)} for ${status} of ${operation?.id ?? '?'}`,
      ]
    if (complete && !body.equals(Buffer.from(text))) wrong.push('the body is not UTF-8')
    if (type === 'application/json') wrong.push(...this.#judgeJson(schema, status, headers, text))
    if (type === 'text/csv') wrong.push(...judgeCsv(text))
    if (type === 'text/event-stream') wrong.push(...this.judgeStream(body, complete))
    return wrong
  }

  /** Returns a sentence for each problem of the data of an event. */
  judgeEvent(type: string, data: string): string[] {
    const schema = Object.entries(EVENT_DATA).find(([known]) => known === type)?.[1]
    if (!schema) return [`there is no event of type ${quote(type)}`]
    return this.#validate(schema, readJson(data)).map((error) => `${type}: ${error}: ${quote(data)}`)
  }

  judgeStream(body: Buffer, complete: boolean): string[] {
    const reader = new StreamReader()
    const events = reader.feed(body)
    const wrong = [...reader.malformed, ...reader.violations]
    if (complete && !reader.isAtBoundary) wrong.push('the stream ends within a frame')
    return [...wrong, ...events.flatMap(({ type, data }) => this.judgeEvent(type, data))]
  }

  #validate(schema: unknown, value: unknown): string[] {
    let check = this.#compiled.get(schema)
    if (!check) {
      check = this.#ajv.compile(closed(schema) as object)
      this.#compiled.set(schema, check)
    }
    if (check(value)) return []
    return (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? 'is wrong'}`)
  }

  #judgeFault(status: number, text: string, operation: Operation | undefined): string[] {
    if (status !== 503) return [`the status is ${status}: ${quote(text)}`]
    const body = readJson(text)
    const code = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : ''
    const isDue = DUE_UNAVAILABLE.has(code) && (code !== 'overloaded' || operation?.path.endsWith('/import'))
    return isDue ? [] : [`the service reports that it is not available: ${quote(text)}`]
  }

  #judgeJson(schema: JsonSchema, status: number, headers: Map<string, string>, text: string): string[] {
    const value = readJson(text)
    if (value === undefined) return [`the body is not JSON: ${quote(text)}`]
    const wrong = this.#validate(schema, value).map((error) => `${error}: ${quote(text)}`)
    if (status < 400) return wrong
    const code = typeof value === 'object' && value !== null && 'error' in value ? value.error : undefined
    if (!isErrorCode(code) || ERRORS[code].status !== status)
      wrong.push(`${status} is not the status of ${String(code)}`)
    if (status === 401 && !headers.has('www-authenticate')) wrong.push('401 without WWW-Authenticate')
    if (status === 503 && !headers.has('retry-after')) wrong.push('503 without Retry-After')
    return wrong
  }
}

function judgeCsv(text: string): string[] {
  try {
    parse(text)
    return []
  } catch (error) {
    return [`the CSV can't be read: ${String(error)}`]
  }
}

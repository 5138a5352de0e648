import fc from 'fast-check'
import type { JsonSchema, Operation, Parameter } from './document.js'
import { csv, ndjson } from './files.js'
import * as hostile from './hostile.js'
import { fieldsOf, valuesOf } from './schema-values.js'
import type { Body, Pace, Request } from './wire.js'

/** Known content of the service, with which requests pass its first checks. */
export interface Known {
  /** Values of `Authorization`. The first has every right. */
  credentials: readonly string[]
  /** Returns known values for a parameter or a field of an operation; undefined if there are none. */
  valuesFor(operation: Operation, name: string): readonly string[] | undefined
  /** Fields of a body of which only one may be sent, by operation. */
  exclusive: Record<string, readonly string[]>
  /** Fields that no valid body may contain, by operation. */
  pointless: Record<string, readonly string[]>
}

const percentEncode = (text: string): string =>
  Buffer.from(text)
    .toString('latin1')
    .replaceAll(/[^A-Za-z0-9._~-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`)

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** Generates a known value, or one that the schema accepts. */
function meaningful(known: readonly string[] | undefined, schema: JsonSchema): fc.Arbitrary<unknown> {
  return known && known.length > 0
    ? fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom(...known) },
        { weight: 1, arbitrary: valuesOf(schema) },
      )
    : valuesOf(schema)
}

/** Generates the texts of one parameter: several if it is repeated, none if it is left out. */
function textsOf(known: Known, operation: Operation, parameter: Parameter): fc.Arbitrary<string[]> {
  const one = meaningful(known.valuesFor(operation, parameter.name), parameter.schema)
  const texts = one.map((each) => (Array.isArray(each) ? each.map(asText) : [asText(each)]))
  return parameter.required ? texts : fc.oneof(texts, fc.constant<string[]>([]))
}

type Fields = [name: string, json: string][]

const unknownField: fc.Arbitrary<Fields[number]> = fc.tuple(hostile.fieldName, hostile.value)

/** Generates the fields of a valid body, with their values as JSON. */
function validFields(known: Known, operation: Operation, schema: JsonSchema): fc.Arbitrary<Fields> {
  const { [operation.id]: pointless = [] } = known.pointless
  const { [operation.id]: exclusive = [] } = known.exclusive
  const names = Object.keys(schema.properties ?? {})
  const meant = names.flatMap((name) =>
    (known.valuesFor(operation, name) ?? []).map((value): [string, string] => [name, value]),
  )
  return fc
    .record({
      fields: fieldsOf(schema),
      meant: fc.subarray(meant, { maxLength: Math.min(meant.length, 3) }),
      only: exclusive.length > 0 ? fc.constantFrom(...exclusive) : fc.constant(undefined),
    })
    .map(({ fields, meant, only }) => {
      const all: Record<string, unknown> = { ...fields, ...Object.fromEntries(meant) }
      return Object.entries(all)
        .filter(([name]) => !pointless.includes(name) && (!exclusive.includes(name) || name === only))
        .map(([name, value]) => [name, JSON.stringify(value)])
    })
}

/** Generates the same fields with one flaw: a hostile value, or a missing, repeated or unknown field. */
const flawsOf = (fields: Fields): fc.Arbitrary<Fields> => {
  const more = unknownField.map((field): Fields => [...fields, field])
  if (fields.length === 0) return more
  const place = fc.nat({ max: fields.length - 1 })
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(place, hostile.value)
        .map(([at, json]) =>
          fields.map(([name, value], i): Fields[number] => [name, i === at ? json : value]),
        ),
    },
    { weight: 1, arbitrary: place.map((at) => fields.filter((_, i) => i !== at)) },
    { weight: 1, arbitrary: place.map((at) => [...fields, ...fields.slice(at, at + 1)]) },
    { weight: 1, arbitrary: more },
  )
}

function writeJson(fields: Fields): Body {
  const text = `{${fields.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join()}}`
  return { text, encoding: 'utf8' }
}

function writeForm(fields: Fields): Body {
  const readJson = (json: string): string => {
    try {
      return asText(JSON.parse(json))
    } catch {
      return json
    }
  }
  const pairs = fields.map(([name, json]) => `${percentEncode(name)}=${percentEncode(readJson(json))}`)
  return { text: pairs.join('&'), encoding: 'utf8' }
}

interface Sent {
  type: string
  body: Body
}

function bodyOf(known: Known, operation: Operation, type: string, schema: JsonSchema): fc.Arbitrary<Sent> {
  const send = (bodies: fc.Arbitrary<Body>) => bodies.map((body) => ({ type, body }))
  if (type === 'text/csv') return send(csv)
  if (/ndjson|jsonl/.test(type)) return send(ndjson)
  const write = type === 'application/json' ? writeJson : writeForm
  const fields = validFields(known, operation, schema)
  return send(
    fc.oneof(
      { weight: 6, arbitrary: fields.map(write) },
      { weight: 6, arbitrary: fields.chain(flawsOf).map(write) },
      { weight: 1, arbitrary: hostile.bodies },
    ),
  )
}

/** What is wrong with a request, apart from the fields of its body. */
interface Flaw {
  method?: string
  target?: string
  /** The index of the parameter that gets another text, and whether that is percent-encoded. */
  parameter?: { at: number; text: string; encoded: boolean }
  headers?: [string, string][]
  body?: Sent | 'none'
  pace?: Pace
}

/**
 * About half of the requests have no flaw here: their parts are valid, so that they get as far as they can.
 */
const flaws: fc.Arbitrary<Flaw> = fc.oneof(
  { weight: 50, arbitrary: fc.constant({}) },
  {
    weight: 25,
    arbitrary: fc
      .record({
        at: fc.nat(),
        text: hostile.text(2),
        encoded: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
      })
      .map((parameter) => ({ parameter })),
  },
  {
    weight: 15,
    arbitrary: fc.array(hostile.header, { minLength: 1, maxLength: 3 }).map((headers) => ({ headers })),
  },
  { weight: 3, arbitrary: hostile.method.map((method) => ({ method })) },
  { weight: 3, arbitrary: hostile.target.map((target) => ({ target })) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(hostile.bodies, fc.oneof(fc.constant('application/json'), hostile.headerValue))
      .map(([body, type]) => ({ body: { body, type } })),
  },
  { weight: 1, arbitrary: fc.constant({ body: 'none' as const }) },
  { weight: 8, arbitrary: hostile.pace.map((pace) => ({ pace })) },
)

/** Generates the requests with which an operation is tested. Most of them are valid except for one part. */
export function requestsOf(operation: Operation, known: Known): fc.Arbitrary<Request> {
  const { parameters } = operation
  const [best = '', ...others] = known.credentials
  const types = Object.keys(operation.responses['200'] ?? {})
  const bodies = Object.entries(operation.body).map(([type, schema]) =>
    bodyOf(known, operation, type, schema),
  )

  return fc
    .record({
      texts: fc.tuple(...parameters.map((parameter) => textsOf(known, operation, parameter))),
      accept: fc.constantFrom('*/*', ...types, types.join(', ')),
      credential: fc.oneof(
        { weight: 20, arbitrary: fc.constant(best) },
        { weight: 4, arbitrary: fc.constantFrom('', best, ...others) },
      ),
      sent: bodies.length > 0 ? fc.oneof(...bodies) : fc.constant(undefined),
      client: fc.ipV4(),
      flaw: flaws,
    })
    .map(({ texts, accept, credential, sent, client, flaw }) => {
      const { parameter } = flaw
      const wrong = parameter && parameters.length > 0 ? parameter.at % parameters.length : -1
      const given = parameters.flatMap(({ in: place, name }, i) =>
        i === wrong && parameter
          ? [{ place, name, text: parameter.text, encoded: parameter.encoded }]
          : (texts[i] ?? []).map((text) => ({ place, name, text, encoded: true })),
      )
      const write = ({ text, encoded }: (typeof given)[number]) =>
        encoded ? percentEncode(text) : Buffer.from(text).toString('latin1')
      const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name) => {
        const found = given.find((each) => each.place === 'path' && each.name === name)
        return found ? write(found) : ''
      })
      const query = given
        .filter(({ place }) => place === 'query')
        .map((each) => `${each.name}=${write(each)}`)
      const body = flaw.body === 'none' ? undefined : (flaw.body ?? sent)
      const headers: [string, string][] = [
        ['host', 'silo.example'],
        ['accept', accept],
        ['x-forwarded-for', client],
        ...(credential === '' ? [] : [['authorization', credential] as [string, string]]),
        ...(body ? [['content-type', body.type] as [string, string]] : []),
        ...given
          .filter(({ place }) => place === 'header')
          .map(({ name, text }): [string, string] => [name, Buffer.from(text).toString('latin1')]),
      ]
      const replaced = new Set(flaw.headers?.map(([name]) => name))
      return {
        method: flaw.method ?? operation.method,
        target: flaw.target ?? (query.length > 0 ? `${path}?${query.join('&')}` : path),
        headers: [...headers.filter(([name]) => !replaced.has(name)), ...(flaw.headers ?? [])],
        body: body?.body,
        ...(body && flaw.pace && { pace: flaw.pace }),
      }
    })
}

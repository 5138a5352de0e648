import fc from 'fast-check'
import type { JsonSchema } from './document.js'
import { storableText } from './hostile.js'

/** Maximum length of most generated texts where the schema allows longer ones. */
const USUALLY_LONGEST = 80

function strings({ pattern, format, minLength = 0, maxLength = 65_536 }: JsonSchema): fc.Arbitrary<unknown> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { size: 'small' })
  if (format === 'uuid') return fc.uuid()
  if (format === 'date-time') {
    const range = { min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }
    return fc.date(range).map((date) => date.toISOString())
  }
  const fits = (text: string) => text.length >= minLength && text.length <= maxLength
  const exact = fc.constantFrom(maxLength, Math.min(maxLength, 2000)).map((length) => 'é'.repeat(length))
  const printable = fc.string({ minLength, maxLength: Math.min(maxLength, USUALLY_LONGEST) })
  return fc.oneof(
    { weight: 8, arbitrary: storableText.filter(fits) },
    { weight: 8, arbitrary: printable },
    { weight: 1, arbitrary: exact },
  )
}

/** Generates the fields of an object that its schema accepts. Optional ones are sometimes missing. */
export function fieldsOf({
  properties = {},
  required = [],
}: JsonSchema): fc.Arbitrary<Record<string, unknown>> {
  const values = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)]),
  )
  return fc.record(values, { requiredKeys: required.filter((name) => name in values) })
}

function ofType(type: string | undefined, schema: JsonSchema): fc.Arbitrary<unknown> {
  const { minimum = -1000, maximum = minimum + 100_000 } = schema
  switch (type) {
    case 'string':
      return strings(schema)
    case 'integer':
      return fc.oneof(
        fc.integer({ min: minimum, max: Math.min(maximum, minimum + 20) }),
        fc.integer({ min: minimum, max: maximum }),
      )
    case 'number':
      return fc.double({ min: minimum, max: maximum, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}), { maxLength: schema.maxItems ?? 5 })
    case 'object':
      return schema.properties
        ? fieldsOf(schema)
        : fc.dictionary(
            storableText.filter((name) => name !== '__proto__'),
            fc.jsonValue({ maxDepth: 3 }),
            {
              maxKeys: 5,
            },
          )
    default:
      return fc.jsonValue({ maxDepth: 3 })
  }
}

/** Generates values that a schema accepts, hostile ones above all. */
export function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(valuesOf))
  return fc.oneof(...[schema.type].flat().map((type) => ofType(type, schema)))
}

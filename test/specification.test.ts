import { readFile } from 'node:fs/promises'
import t from 'tap'
import { ERRORS } from '../errors.js'
import { ROLES } from '../schemas/auth.js'
import { createToken, startApp } from './harness/app.js'
import { readRoutes } from './harness/routes.js'

const SPECIFICATION = new URL('docs/SPECIFICATION.md', import.meta.resolve('#root'))

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

interface Endpoint {
  method: (typeof METHODS)[number]
  path: string
  role: string
}

/** Reads the table of section 11.1: method, path, role, meaning. */
async function readTable(): Promise<Endpoint[]> {
  const text = await readFile(SPECIFICATION, 'utf8')
  const [, section = ''] = text.split('### 11.1 Endpoints')
  return [...section.matchAll(/^\| (\w+) +\| `([^`]+)` +\| (\w+) +\| \S/gm)].map(
    ([, verb, path = '', role = '']) => {
      const method = METHODS.find((known) => known === verb)
      if (!method) throw new Error(`${String(verb)} is no method`)
      return { method, path, role }
    },
  )
}

const name = ({ method, path }: Endpoint) => `${method} ${path}`

t.test('section 11.1 lists every endpoint, and no other', async (t) => {
  const app = await startApp(t)
  const routes = readRoutes(app)
  t.ok(routes.length > 20)
  t.strictSame((await readTable()).map(name).sort(), routes.sort())
})

t.test('section 3.1 lists every error with its status, its message and its cure', async (t) => {
  const [, section = ''] = (await readFile(SPECIFICATION, 'utf8')).split('### 3.1 ')
  const rows = section.split('\n## ')[0]?.match(/^\| `.*$/gm)
  t.strictSame(
    rows,
    Object.entries(ERRORS).map(
      ([code, { status, message, cure }]) => `| \`${code}\` | ${status} | ${message} | ${cure} |`,
    ),
  )
})

t.test('the role in section 11.1 is the role that the endpoint requires', async (t) => {
  const app = await startApp(t)
  const tokens = new Map<string, string>()
  for (const role of ROLES) tokens.set(role, await createToken(app.db, role))
  const refusal = async ({ method, path }: Endpoint, token?: string) => {
    const { statusCode } = await app.inject({
      method,
      url: path.replaceAll(/\{\w+\}/g, 'x'),
      headers: {
        accept: 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
    })
    return statusCode === 401 || statusCode === 403 ? statusCode : undefined
  }
  for (const endpoint of await readTable()) {
    if (endpoint.role === 'public') {
      if (endpoint.path.includes('login')) continue
      t.equal(await refusal(endpoint), undefined, `${name(endpoint)} is public`)
      continue
    }
    t.equal(await refusal(endpoint), 401, `${name(endpoint)} requires a sign-in`)
    const needed = ROLES.findIndex((role) => role === endpoint.role)
    t.ok(needed >= 0, `${endpoint.role} is a role`)
    for (const [rank, role] of ROLES.entries()) {
      t.equal(
        await refusal(endpoint, tokens.get(role)),
        rank < needed ? 403 : undefined,
        `${name(endpoint)} as ${role}`,
      )
    }
  }
})

t.test('the OpenAPI document has every endpoint, with its errors', async (t) => {
  const app = await startApp(t)
  const document = (await app.inject('/api/openapi.json')).json<{
    openapi: string
    paths: Record<
      string,
      Record<
        string,
        {
          responses: Record<string, unknown>
          summary?: string
          parameters?: { name: string; required?: boolean; schema: { default?: unknown } }[]
        }
      >
    >
  }>()
  t.equal(document.openapi, '3.1.0')
  const described: string[] = []
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [verb, { responses, summary, parameters = [] }] of Object.entries(methods)) {
      described.push(`${verb.toUpperCase()} ${path}`)
      t.ok(summary, `${verb} ${path} has a summary`)
      t.match(Object.keys(responses).join(), /^[23].*4XX,5XX$/, `${verb} ${path} has all of its responses`)
      for (const { name, required, schema } of parameters) {
        t.notOk(required && 'default' in schema, `${verb} ${path}: ${name} has a default, so it is optional`)
      }
    }
  }
  t.strictSame(described.sort(), (await readTable()).map(name).sort())
})

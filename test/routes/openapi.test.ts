import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Page } from 'playwright-core'
import t from 'tap'
import { ERRORS } from '../../errors.js'
import { createToken, startApp } from '../harness/app.js'
import { complaintsOf, testInBrowser } from '../harness/browser.js'
import { PASSWORD, bearer, createPerson } from '../harness/people.js'
import { listen } from '../harness/watcher.js'

type Example = string | Record<string, unknown>

interface Operation {
  security?: object[]
  parameters?: { name: string; in: string; example?: unknown }[]
  requestBody?: { content: Record<string, { example?: Example }> }
  responses: Record<string, { description: string; content?: Record<string, { example?: unknown }> }>
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const

type Paths = Record<string, Record<string, Operation>>

interface NamedOperation {
  name: string
  path: string
  method: (typeof METHODS)[number]
  operation: Operation
}

async function readPaths(app: FastifyInstance): Promise<Paths> {
  return (await app.inject('/api/openapi.json')).json<{ paths: Paths }>().paths
}

/** Returns every operation, with the deletions last. */
const operationsOf = (paths: Paths): NamedOperation[] =>
  Object.entries(paths)
    .flatMap(([path, methods]) =>
      METHODS.flatMap((method) => {
        const operation = methods[method]
        return operation ? [{ name: `${method} ${path}`, path, method, operation }] : []
      }),
    )
    .sort((a, b) => Number(a.method === 'delete') - Number(b.method === 'delete'))

/**
 * The status of examples that cannot succeed: they have a made-up password, or an id that differs in each
 * database.
 */
const UNKNOWN: Record<string, string> = {
  'post /api/auth/login': '401',
  'get /api/items/by-uuid/{id}': '404',
  'delete /api/auth/tokens/{id}': '404',
}

/** Returns the request that the examples of an operation describe, with each parameter that has one. */
function exampleOf({ path, method, operation }: NamedOperation, token: string): InjectOptions {
  const { parameters = [], requestBody, security } = operation
  const examplesIn = (place: string): [name: string, example: string][] =>
    parameters
      .filter((parameter) => parameter.in === place && parameter.example !== undefined)
      .map(({ name, example }) => [name, String(example)])
  const [type, media] = Object.entries(requestBody?.content ?? {})[0] ?? []
  return {
    method,
    url: examplesIn('path').reduce(
      (url, [name, example]) => url.replace(`{${name}}`, encodeURIComponent(example)),
      path,
    ),
    query: Object.fromEntries(examplesIn('query')),
    headers: {
      ...(security?.length !== 0 && bearer(token)),
      // A page, because a stream does not end.
      ...(path === '/api/events' && { accept: 'application/json' }),
      ...(type !== undefined && { 'content-type': type }),
    },
    ...(type !== undefined && { payload: encode(type, media?.example) }),
  }
}

/** Encodes an example as the body of a request. */
function encode(type: string, example: Example = {}): string {
  if (typeof example === 'string') return example
  if (type !== 'application/x-www-form-urlencoded') return JSON.stringify(example)
  const fields = Object.entries(example).map(([name, value]): [string, string] => [name, String(value)])
  return new URLSearchParams(fields).toString()
}

t.test('the service accepts the examples of every operation', async (t) => {
  const app = await startApp(t)
  const token = await createToken(app.db, 'admin')
  await app.inject({
    method: 'POST',
    url: '/api/items',
    headers: bearer(token),
    payload: { part_number: 'A01-0001' },
  })
  const operations = operationsOf(await readPaths(app))
  t.ok(operations.length > 25)
  for (const named of operations) {
    const { statusCode } = await app.inject(exampleOf(named, token))
    t.match(String(statusCode), UNKNOWN[named.name] ?? /^(20[014]|303)$/, named.name)
  }
})

t.test('every error has its meaning and its schema beside its status', async (t) => {
  const app = await startApp(t)
  const codes = Object.entries(ERRORS)
  const described = new Set<string>()
  for (const { name, operation } of operationsOf(await readPaths(app))) {
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      for (const [, code, meaning] of description.matchAll(/^`(\w+)`: (.+)$/gm)) {
        t.ok(
          codes.some(
            ([known, { status: at, message }]) =>
              known === code && String(at) === status && message === meaning,
          ),
          `${name}: ${String(code)}`,
        )
        t.ok(content?.['application/json'], `${name}: the schema of ${String(code)}`)
        described.add(String(code))
      }
    }
  }
  const everywhere = new Set(['headers_too_large', 'import_rejected', 'method_not_allowed'])
  t.strictSame(
    codes.map(([code]) => code).filter((code) => !described.has(code) && !everywhere.has(code)),
    [],
    'no error code is missing',
  )
})

/** Returns the paths of the properties and parameters of a document that have no description. */
function undescribed(value: unknown, path: string): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]: [string, unknown]) => {
    // Their content is data, not a schema.
    if (['example', 'examples', 'default', 'enum'].includes(name)) return []
    const here = `${path}.${name}`
    if (name !== 'properties' && name !== 'parameters') return undescribed(inner, here)
    const described = Object.entries(Object(inner) as Record<string, { description?: string }>)
    const silent = described.filter(([, schema]) => !schema.description).map(([key]) => `${here}.${key}`)
    return [...silent, ...described.flatMap(([key, schema]) => undescribed(schema, `${here}.${key}`))]
  })
}

t.test('every property and every parameter of the documents has a description', async (t) => {
  const app = await startApp(t)
  for (const url of ['/api/openapi.json', '/api/asyncapi.json']) {
    t.strictSame(undescribed((await app.inject(url)).json(), url), [])
  }
})

t.test('every error response of a route is in its description', async (t) => {
  const app = await startApp(t)
  const paths = await readPaths(app)
  const viewer = bearer(await createToken(app.db, 'viewer'))
  const admin = bearer(await createToken(app.db, 'admin', 'ada'))
  await app.inject({ method: 'POST', url: '/api/items', headers: admin, payload: { part_number: 'A-1' } })
  const json = { 'content-type': 'application/json' }
  const refusals: [string, InjectOptions & { path: string }][] = [
    ['unauthenticated', { path: '/api/items', method: 'GET', url: '/api/items' }],
    ['unauthenticated', { path: '/api/events', method: 'GET', url: '/api/events', headers: {} }],
    ['invalid_request', { path: '/api/items', method: 'GET', url: '/api/items?limit=x', headers: admin }],
    [
      'invalid_json',
      { path: '/api/items', method: 'POST', url: '/api/items', headers: { ...admin, ...json }, payload: '{' },
    ],
    [
      'forbidden',
      {
        path: '/api/items',
        method: 'POST',
        url: '/api/items',
        headers: viewer,
        payload: { part_number: 'B' },
      },
    ],
    [
      'part_number_taken',
      {
        path: '/api/items',
        method: 'POST',
        url: '/api/items',
        headers: admin,
        payload: { part_number: 'a-1' },
      },
    ],
    [
      'item_not_found',
      { path: '/api/items/{part_number}', method: 'GET', url: '/api/items/none', headers: admin },
    ],
    [
      'item_not_found',
      { path: '/api/items/{part_number}', method: 'DELETE', url: '/api/items/none', headers: admin },
    ],
    [
      'revision_mismatch',
      {
        path: '/api/items/{part_number}',
        method: 'PUT',
        url: '/api/items/A-1',
        headers: { ...admin, 'if-match': '"7"' },
        payload: { description: 'x' },
      },
    ],
    [
      'revision_not_found',
      {
        path: '/api/items/{part_number}/revisions/{revision_number}',
        method: 'GET',
        url: '/api/items/A-1/revisions/9',
        headers: admin,
      },
    ],
    [
      'unsupported_media_type',
      { path: '/api/items/import', method: 'POST', url: '/api/items/import', headers: admin, payload: {} },
    ],
    [
      'invalid_credentials',
      {
        path: '/api/auth/login',
        method: 'POST',
        url: '/api/auth/login',
        payload: { username: 'x', password: 'x' },
      },
    ],
    [
      'cross_origin',
      {
        path: '/api/auth/login',
        method: 'POST',
        url: '/api/auth/login',
        headers: { 'sec-fetch-site': 'cross-site' },
        payload: { username: 'x', password: 'x' },
      },
    ],
    [
      'user_not_found',
      { path: '/api/users/{username}', method: 'DELETE', url: '/api/users/none', headers: admin },
    ],
    [
      'last_admin',
      {
        path: '/api/users/{username}',
        method: 'PATCH',
        url: '/api/users/ada',
        headers: admin,
        payload: { active: false },
      },
    ],
    ['not_found', { path: '/docs/{name}', method: 'GET', url: '/docs/index.html' }],
  ]
  for (const [code, { path, ...request }] of refusals) {
    const res = await app.inject(request)
    t.equal(res.json<{ error: string }>().error, code)
    const answers = paths[path]?.[String(request.method).toLowerCase()]?.responses
    t.match(
      answers?.[res.statusCode]?.description,
      `\`${code}\``,
      `${String(request.method)} ${path}: ${code}`,
    )
  }
})

/** Opens an operation, executes it, and returns the status that is shown. */
async function tryOut(page: Page, operation: string): Promise<string> {
  const block = page.locator(`[id="operations-${operation}"]`)
  await block.locator('.opblock-summary-control').click()
  await block.getByRole('button', { name: 'Execute' }).click()
  const status = block.locator('.live-responses-table .response-col_status').last()
  return (await status.innerText()).trim()
}

await testInBrowser(t, (browser) => {
  t.test('the API reference works under the policy of every page, and calls no other host', async (t) => {
    const app = await startApp(t)
    const origin = await listen(app)
    await createPerson(app.db, 'vera', 'viewer')
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(30_000)
    const complaints = complaintsOf(page)
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))

    const { headers } = await app.inject('/docs')
    t.match(headers['content-security-policy'], /^default-src 'self';/)
    t.notMatch(headers['content-security-policy'], 'unsafe')
    await page.goto(`${origin}/docs`)
    await page.getByText('The live feed of every change', { exact: true }).waitFor()
    t.equal(await tryOut(page, 'health-get-health'), '200', 'an operation that needs no sign-in')

    const opened = page.waitForEvent('popup')
    await page.getByRole('link', { name: 'sign in' }).click()
    const form = await opened
    await form.getByLabel('Username').fill('vera')
    await form.getByLabel('Password').fill(PASSWORD)
    await form.getByRole('button', { name: 'Sign in' }).click()
    await form.waitForURL(`${origin}/docs`)
    t.equal(await tryOut(page, 'auth-get-api-auth-me'), '200', 'with the session of the browser')
    await page.getByText('"username": "vera"').waitFor()

    await context.clearCookies()
    await page.reload()
    await page.getByRole('button', { name: 'Authorize' }).first().click()
    await page.getByLabel('auth-bearer-value').fill(await createToken(app.db, 'admin'))
    await page.getByRole('button', { name: 'Apply credentials' }).first().click()
    await page.getByRole('button', { name: 'Close' }).first().click()
    t.equal(await tryOut(page, 'users-get-api-users'), '200', 'with a pasted token')

    t.strictSame(complaints, [])
    t.strictSame(
      asked.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:')),
      [],
    )
  })
})

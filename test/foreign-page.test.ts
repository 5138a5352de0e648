import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { startApp } from './harness/app.js'
import { testInBrowser } from './harness/browser.js'
import { PASSWORD, createPerson } from './harness/people.js'
import { listen } from './harness/watcher.js'

/** Serves `foreign-page.js` in a page of its own on this host, without any policy. */
async function serveForeignPage(t: Test, host: string): Promise<string> {
  const script = await readFile(new URL('test/harness/foreign-page.js', import.meta.resolve('#root')), 'utf8')
  const server = createServer((_, reply) => {
    reply.setHeader('content-type', 'text/html')
    reply.end(`<!doctype html><title>foreign</title><body><script type="module">${script}</script>`)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://${host}:${(server.address() as AddressInfo).port}/`
}

const run = (page: Page, name: string, ...args: unknown[]): Promise<unknown> =>
  page.evaluate(`${name}(...${JSON.stringify(args)})`)

/** Starts a service with one item, and a browser in which mara is signed in. */
async function visitSignedIn(t: Test, browser: Browser) {
  const app = await startApp(t)
  const service = await listen(app)
  await createPerson(app.db, 'mara', 'editor')
  await app.db`insert into items (part_number) values ('SECRET')`
  const context = await browser.newContext()
  t.teardown(() => context.close())
  context.setDefaultTimeout(20_000)
  const page = await context.newPage()
  await page.goto(`${service}/login`)
  await page.getByLabel('Username').fill('mara')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${service}/`)
  return { app, service, page }
}

async function testFrom(t: Test, browser: Browser, host: string): Promise<void> {
  const { app, service, page } = await visitSignedIn(t, browser)
  await createPerson(app.db, 'mallory', 'viewer')
  const foreign = await serveForeignPage(t, host)
  await page.goto(foreign)
  t.strictSame(await run(page, 'spy', service), {
    stream: { seen: [], closed: true },
    page: 'TypeError',
    opaque: 'TypeError',
    preflighted: 'TypeError',
    answerAsScript: 'refused',
    script: 'refused',
    image: 'refused',
  })

  await run(page, 'write', service)
  for (const [path, fields] of [
    ['/logout', {}],
    ['/login', { username: 'mallory', password: PASSWORD }],
  ] as const) {
    const answered = page.waitForResponse((answer) => answer.url() === service + path)
    await run(page, 'submit', service + path, fields)
    t.equal((await answered).status(), 403, path)
    await page.waitForURL(service + path)
    await page.goto(foreign)
  }
  t.strictSame([...(await app.db`select part_number from items`)], [{ part_number: 'SECRET' }])
  t.strictSame([...(await app.db`select kind from tokens where revoked_at is null`)], [{ kind: 'session' }])

  const refusal = page.waitForEvent('console', (message) => message.text().includes('frame-ancestors'))
  await run(page, 'frame', `${service}/`)
  await refusal

  await page.goto(`${service}/`)
  await page.locator('#account', { hasText: 'mara' }).waitFor()
}

await testInBrowser(t, (browser) => {
  t.test('a page of another site reads nothing and writes nothing', (t) => testFrom(t, browser, 'localhost'))
  t.test('nor does a page at another port of the same host, although the browser sends it the cookie', (t) =>
    testFrom(t, browser, '127.0.0.1'),
  )
  t.test('a page at another name of the same address is not signed in', async (t) => {
    const { service, page } = await visitSignedIn(t, browser)
    const statuses = () =>
      page.evaluate(() =>
        Promise.all(['/api/auth/me', '/api/items/SECRET'].map(async (path) => (await fetch(path)).status)),
      )
    t.strictSame(await statuses(), [200, 200])
    const elsewhere = service.replace('127.0.0.1', 'localhost')
    await page.goto(`${elsewhere}/`)
    await page.waitForURL(`${elsewhere}/login?next=%2F`)
    t.strictSame(await statuses(), [401, 401])
  })
  t.test('a page at an unknown name that resolves to this address cannot even sign in', async (t) => {
    const { service, page } = await visitSignedIn(t, browser)
    const elsewhere = service.replace('127.0.0.1', 'rebind.example')
    t.equal((await page.goto(`${elsewhere}/login`))?.status(), 421)
    const statuses = await page.evaluate(
      (body) =>
        Promise.all(
          ['/api/auth/login', '/login', '/api/openapi.json', '/api/events', '/health'].map(async (path) => {
            const asked = path.endsWith('login') ? { method: 'POST', body } : {}
            const headers = { 'content-type': 'application/json', 'x-forwarded-host': 'localhost' }
            return (await fetch(path, { ...asked, headers })).status
          }),
        ),
      JSON.stringify({ username: 'vera', password: PASSWORD }),
    )
    t.strictSame(statuses, [421, 421, 421, 421, 200], 'the probe shows only that the process is alive')
  })
})

import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createToken, startApp } from './harness/app.js'
import { complaintsOf, testInBrowser } from './harness/browser.js'
import { PASSWORD, bearer, createPerson, sessionOf } from './harness/people.js'
import { readRoutes } from './harness/routes.js'
import { listen } from './harness/watcher.js'

/** Returns the paths of all routes that respond with a page. */
async function findPages(app: FastifyInstance, session: string): Promise<string[]> {
  const pages: string[] = []
  for (const route of readRoutes(app)) {
    const path = /^GET (.*)$/.exec(route)?.[1]?.replace('{part_number}', 'A01-0001')
    if (path === undefined || path === '/api/events') continue
    const { headers, statusCode } = await app.inject({ url: path, cookies: { silo_session_80: session } })
    if (statusCode === 200 && String(headers['content-type']).startsWith('text/html')) pages.push(path)
  }
  return pages
}

await testInBrowser(t, (browser) => {
  t.test('every page works under the Content Security Policy, which blocks an injected script', async (t) => {
    const app = await startApp(t)
    const origin = await listen(app)
    await createPerson(app.db, 'mara', 'editor')
    const editor = bearer(await createToken(app.db, 'editor'))
    const payload = { part_number: 'A01-0001', description: 'Bracket' }
    await app.inject({ method: 'POST', url: '/api/items', headers: editor, payload })
    const pages = await findPages(app, await sessionOf(app, 'mara'))
    t.ok(pages.length >= 4, pages.join(' '))

    const context = await browser.newContext()
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.goto(`${origin}/login`)
    await page.getByLabel('Username').fill('mara')
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.waitForURL(`${origin}/`)
    const complaints = complaintsOf(page)
    for (const path of pages) {
      await page.goto(origin + path)
      await page.getByText(/\S/).first().waitFor()
      t.strictSame(complaints, [], path)
      await page.evaluate(`document.body.append(
        Object.assign(document.createElement('script'), { text: 'document.title = "breached"' }))`)
      t.not(await page.title(), 'breached', path)
      t.match(complaints.splice(0), [/Content Security Policy/], `${path}: the injected script is blocked`)
    }
  })
})

import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { complaintsOf, findChromium, launchBrowser } from './harness/browser.js'
import { startApp } from './harness/app.js'
import { signIn as sendAs, type Send } from './harness/client.js'
import { createDatabase } from './harness/database.js'
import { createPerson } from './harness/people.js'
import { listen, live, openPage, signIn, visit } from './harness/visit.js'

const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

const line = (page: Page, text: string) => page.locator('#lines > li', { hasText: text })

const create = (send: Send, part_number: string, description = '') =>
  send('POST', '/api/items', { payload: { part_number, description } })
const edit = (send: Send, part_number: string, payload: object) =>
  send('PUT', `/api/items/${part_number}`, { payload })

function testInBrowser(browser: Browser): void {
  t.test('strangers sign in, are told what was wrong, and come to where they wanted to go', async (t) => {
    const app = await startApp(t)
    const address = await listen(app)
    await createPerson(app.db, 'vera', 'viewer')
    const page = await openPage(t, browser)
    const complaints = complaintsOf(page)
    await page.goto(`${address}/?kind=archived`)
    t.match(page.url(), `${address}/login?`)
    await signIn(page, 'vera', 'not her password')
    await page.getByText('The username or the password is wrong.').waitFor()
    await signIn(page)
    await live(page)
    t.equal(page.url(), `${address}/?kind=archived`)
    t.equal(await page.locator('#account').textContent(), 'vera')

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Username').waitFor()
    await page.goto(address)
    t.match(page.url(), `${address}/login?`, 'the session is over')
    t.strictSame(complaints, [])
  })

  t.test('what is done appears within a second, one line a change, with its comment', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await live(page)
    await page.getByText('Nothing has happened here yet.').waitFor()
    await create(send, 'A01-0001', 'Bracket, welded')
    await line(page, 'Bracket, welded').waitFor()
    await edit(send, 'A01-0001', { description: 'Bracket, bent', comment: 'Cheaper' })
    await line(page, 'Cheaper').waitFor()
    await send('DELETE', '/api/items/A01-0001')
    await line(page, 'Archived').waitFor()
    const words = await page.locator('#lines .kind').allTextContents()
    t.strictSame(words, ['Archived', 'Revision 2', 'Created'], 'the newest first')
    t.match(await line(page, 'Revision 2').textContent(), /A01-0001.*Cheaper.*edith/)
    t.strictSame(complaints, [])
  })

  t.test('what was done before is there, and a hostile text is only text', async (t) => {
    const app = await startApp(t)
    const address = await listen(app)
    await createPerson(app.db, 'vera', 'viewer')
    const send = await sendAs(app, 'editor')
    await create(send, 'A01-0001', HOSTILE)
    await edit(send, 'A01-0001', { properties: { [HOSTILE]: HOSTILE }, comment: HOSTILE })
    const page = await openPage(t, browser)
    const complaints = complaintsOf(page)
    await page.goto(address)
    await signIn(page)
    await live(page)
    t.equal(await page.locator('.description').textContent(), HOSTILE)
    t.equal(await page.locator('.comment').textContent(), HOSTILE)
    t.equal(await page.title(), 'Database Activity · Silo')
    await line(page, 'Created').getByRole('link').click()
    await page.locator('#properties dt').waitFor()
    t.equal(await page.locator('#properties dt').textContent(), HOSTILE)
    t.equal(await page.title(), 'A01-0001 · Silo')
    t.strictSame(complaints, [])
  })

  t.test('the service restarts: the panel comes back by itself and has missed nothing', async (t) => {
    const databaseUrl = await createDatabase(t)
    const { app, address, page, send } = await visit(t, browser, '/', { databaseUrl })
    await live(page)
    await create(send, 'A01-0001')
    await line(page, 'A01-0001').waitFor()
    await app.close()
    await page.locator('#state', { hasText: /^reconnecting \(\d+\) …$/ }).waitFor()

    const other = await startApp(t, { databaseUrl })
    const sendOther = await sendAs(other, 'editor')
    await create(sendOther, 'A01-0002')
    await create(sendOther, 'A01-0003')
    await listen(other, Number(new URL(address).port))
    await live(page)
    await create(sendOther, 'A01-0004')
    await line(page, 'A01-0004').waitFor()
    t.strictSame(await page.locator('#lines .number').allTextContents(), [
      'A01-0004',
      'A01-0003',
      'A01-0002',
      'A01-0001',
    ])
  })

  t.test('filters are kept in the address, and hold for what was and for what comes', async (t) => {
    const { address, page, send, complaints } = await visit(t, browser)
    await live(page)
    await create(send, 'A01-0001')
    await create(send, 'B02-0001')
    await edit(send, 'A01-0001', { description: 'moved' })
    await line(page, 'Revision 2').waitFor()
    await page.getByText('Changed').click()
    await page.getByLabel('Part number').fill('A01-*')
    await page.waitForURL(`${address}/?kind=changed&part=A01-*`)
    await line(page, 'B02-0001').waitFor({ state: 'detached' })
    await page.reload()
    await live(page)
    await edit(send, 'B02-0001', { description: 'not wanted' })
    await edit(send, 'A01-0001', { description: 'moved again' })
    await line(page, 'Revision 3').waitFor()
    t.strictSame(await page.locator('#lines .kind').allTextContents(), ['Revision 3', 'Revision 2'])
    t.strictSame(await page.locator('#lines .number').allTextContents(), ['A01-0001', 'A01-0001'])
    t.equal(await page.getByLabel('Part number').inputValue(), 'A01-*')
    t.strictSame(complaints, [])
  })

  t.test('a part number that can not be one is refused in words, and nothing is shown for it', async (t) => {
    const { page } = await visit(t, browser, '/?part=%26%26')
    await page.getByText('must be a part number, or its beginning and a *').waitFor()
    await page.getByLabel('Part number').fill('')
    await page.locator('#problem').filter({ hasText: /^$/ }).waitFor({ state: 'attached' })
  })

  t.test('while paused nothing moves; going on shows all that came', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await live(page)
    await page.getByRole('button', { name: 'Pause' }).click()
    await create(send, 'A01-0001')
    await edit(send, 'A01-0001', { description: 'edited' })
    await page.getByRole('button', { name: 'Go on · 2 new' }).waitFor()
    t.equal(await page.locator('#lines > li').count(), 0)
    await page.getByRole('button', { name: 'Go on' }).click()
    t.strictSame(await page.locator('#lines .kind').allTextContents(), ['Revision 2', 'Created'])
    t.strictSame(complaints, [])
  })

  t.test('the newest 300 lines are in the document, however many came', async (t) => {
    const { app, page, complaints } = await visit(t, browser)
    await live(page)
    await app.db`
      insert into items (part_number)
      select 'A01-' || lpad(n::text, 4, '0')
        from generate_series(1, 2000) n
    `
    await line(page, 'A01-2000').waitFor()
    const numbers = await page.locator('#lines .number').allTextContents()
    t.equal(numbers.length, 300)
    t.strictSame([numbers[0], numbers[299]], ['A01-2000', 'A01-1701'])
    t.strictSame(complaints, [])
  })

  t.test('a read-only server says so, from the moment on that it is', async (t) => {
    const { app, page } = await visit(t, browser)
    await live(page)
    t.equal(await page.locator('#banner').isVisible(), false)
    const admin = await sendAs(app, 'admin')
    await admin('PUT', '/api/server/mode', { payload: { mode: 'read-only' } })
    await page.getByText('Read-only: items can’t be changed at the moment.').waitFor()
    await admin('PUT', '/api/server/mode', { payload: { mode: 'normal' } })
    await page.locator('#banner').waitFor({ state: 'hidden' })
  })

  t.test(
    'a session that ends is asked for again on top of the page, which goes on where it was',
    async (t) => {
      const { app, address, page, send } = await visit(t, browser, '/?kind=created')
      await live(page)
      await create(send, 'A01-0001')
      await line(page, 'A01-0001').waitFor()
      await app.db`update tokens set revoked_at = now() where kind = 'session'`
      await page.getByRole('dialog').waitFor({ timeout: 20_000 })
      await create(send, 'A01-0002')
      t.equal(await page.getByRole('dialog').getByLabel('Username').inputValue(), 'vera')
      await signIn(page, 'vera', 'not her password')
      await page.getByText('The username or the password is wrong.').waitFor()
      await signIn(page)
      await live(page)
      await line(page, 'A01-0002').waitFor()
      t.strictSame(await page.locator('#lines .number').allTextContents(), ['A01-0002', 'A01-0001'])
      t.equal(await page.getByRole('dialog').count(), 0)
      t.equal(page.url(), `${address}/?kind=created`)
    },
  )

  t.test('the page of a part shows it and its revisions, and moves with it', async (t) => {
    const { address, page, send, complaints } = await visit(t, browser)
    await live(page)
    await create(send, 'A01-0001', 'Bracket, welded')
    await page.getByRole('link', { name: 'A01-0001' }).click()
    await page.waitForURL(`${address}/items/A01-0001`)
    await page.locator('#fields', { hasText: 'Bracket, welded' }).waitFor()
    await edit(send, 'A01-0001', { properties: { mass: 1.5 }, comment: 'Weighed' })
    await page.locator('#properties', { hasText: 'mass1.5' }).waitFor()
    const newest = page.locator('#revisions > li').first()
    t.match(await newest.textContent(), /Revision 2.*edith.*Weighed.*mass– → 1\.5/)
    t.strictSame(complaints, [])
    await send('DELETE', '/api/items/A01-0001')
    await page.locator('#archived').waitFor()
    t.equal(await page.locator('#revisions > li').count(), 2, 'its revisions stay')
  })
}

t.test('the pages come without the database', async (t) => {
  const app = await startApp(t)
  app.mode.lost()
  for (const url of ['/', '/login', '/items/A01-0001', '/web/style.css']) {
    const res = await app.inject(url)
    t.equal(res.statusCode, 200, url)
    t.match(res.headers['content-type'], /^text\/(html|css); charset=utf-8$/)
  }
})

t.test('only the files of the pages are served, and a browser keeps them until they change', async (t) => {
  const app = await startApp(t)
  for (const url of ['/web/', '/web/nothing.js', '/web/..%2fpackage.json', '/web/%2e%2e/package.json']) {
    t.equal((await app.inject(url)).statusCode, 404, url)
  }
  const { headers } = await app.inject('/web/page.js')
  t.equal(headers['cache-control'], 'no-cache')
  const again = await app.inject({ url: '/web/page.js', headers: { 'if-none-match': headers.etag } })
  t.equal(again.statusCode, 304)
  t.equal((await app.inject('/login')).headers['cache-control'], 'no-store')
})

const chromium = findChromium()
if (chromium === undefined) t.comment('no Chromium was found (see CHROMIUM_PATH): the pages are not tested')
else testInBrowser(await launchBrowser(t, chromium))

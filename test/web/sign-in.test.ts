import t from 'tap'
import { startApp } from '../harness/app.js'
import { complaintsOf, testInBrowser } from '../harness/browser.js'
import { createItem, line, numbers } from '../harness/panel.js'
import { createPerson } from '../harness/people.js'
import { listen, live, openPage, fillLoginForm, visit } from '../harness/visit.js'

await testInBrowser(t, (browser) => {
  t.test('a user who signs in is shown what was wrong, and then the requested page', async (t) => {
    const app = await startApp(t)
    const address = await listen(app)
    await createPerson(app.db, 'vera', 'viewer')
    const page = await openPage(t, browser)
    const complaints = complaintsOf(page)
    await page.goto(`${address}/?kind=archived`)
    t.match(page.url(), `${address}/login?`)
    await fillLoginForm(page, 'vera', 'not her password')
    await page.getByText('Incorrect username or password.').waitFor()
    await fillLoginForm(page)
    await live(page)
    t.equal(page.url(), `${address}/?kind=archived`)
    await page.locator('#account', { hasText: 'vera' }).waitFor()

    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Username').waitFor()
    await page.goto(address)
    t.match(page.url(), `${address}/login?`, 'the session has ended')
    t.strictSame(complaints, [])
  })

  t.test('a session that ends is renewed in a dialog on top of the page, which then continues', async (t) => {
    const { app, address, page, send } = await visit(t, browser, '/?kind=created')
    await live(page)
    await page.locator('#account', { hasText: 'vera' }).waitFor()
    await createItem(send, 'A01-0001')
    await line(page, 'A01-0001').waitFor()
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    const dialog = page.getByRole('dialog')
    await dialog.waitFor()
    await page.locator('#state', { hasText: 'signed out' }).waitFor()
    await createItem(send, 'A01-0002')
    t.equal(await dialog.getByLabel('Username').inputValue(), 'vera')
    await page.keyboard.press('Escape')
    await page.keyboard.press('Escape')
    await fillLoginForm(page, 'vera', 'not her password')
    await page.getByText('Incorrect username or password.').waitFor()
    await fillLoginForm(page)
    await live(page)
    await line(page, 'A01-0002').waitFor()
    t.strictSame(await numbers(page), ['A01-0002', 'A01-0001'])
    t.equal(await dialog.count(), 0)
    t.equal(page.url(), `${address}/?kind=created`)
  })

  t.test('signing in again in one tab resumes the others', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    await live(page)
    const other = await page.context().newPage()
    await other.goto(`${address}/?part=A01-*`)
    await live(other)
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    await page.getByRole('dialog').waitFor()
    await other.getByRole('dialog').waitFor()
    await fillLoginForm(page)
    await other.getByRole('dialog').waitFor({ state: 'detached' })
    await createItem(send, 'A01-0001')
    for (const tab of [page, other]) await line(tab, 'A01-0001').waitFor()
    t.equal(other.url(), `${address}/?part=A01-*`)
  })

  t.test('signing in on the sign-in page resumes the tabs that wait for it', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    await live(page)
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    await page.getByRole('dialog').waitFor()
    const other = await page.context().newPage()
    await other.goto(address)
    await fillLoginForm(other)
    await live(other)
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await createItem(send, 'A01-0001')
    for (const tab of [page, other]) await line(tab, 'A01-0001').waitFor()
    t.equal(app.sse.clients, 1)
  })

  t.test('when another user signs in the page is loaded again', async (t) => {
    const { app, page } = await visit(t, browser)
    await createPerson(app.db, 'noor', 'viewer')
    await page.locator('#account', { hasText: 'vera' }).waitFor()
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    await page.getByRole('dialog').waitFor()
    await fillLoginForm(page, 'noor')
    await page.locator('#account', { hasText: 'noor' }).waitFor()
    await live(page)
    t.equal(await page.getByRole('dialog').count(), 0)
  })
})

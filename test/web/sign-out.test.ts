import type { Page } from 'playwright-core'
import t from 'tap'
import { complaintsOf, testInBrowser } from '../harness/browser.js'
import { createItem, line } from '../harness/panel.js'
import { PASSWORD, createPerson } from '../harness/people.js'
import { live, fillLoginForm, visit } from '../harness/visit.js'

const keptBy = (page: Page): Promise<string[]> => page.evaluate('Object.keys(sessionStorage)')

/** Stores a draft in this tab, as a page does for a form that was not sent. */
async function typeDraft(page: Page): Promise<void> {
  await page.evaluate(`sessionStorage.setItem('draft of vera: a secret', '{}')`)
}

await testInBrowser(t, (browser) => {
  t.test('signing out in one tab clears what every tab stores and shows', async (t) => {
    const { address, page, send } = await visit(t, browser)
    await live(page)
    await createItem(send, 'SECRET-1')
    await line(page, 'SECRET-1').waitFor()
    const other = await page.context().newPage()
    const complaints = complaintsOf(other)
    await other.goto(`${address}/items`)
    await live(other)
    for (const tab of [page, other]) await typeDraft(tab)

    await page.getByRole('button', { name: 'Sign out' }).click()
    for (const tab of [page, other]) {
      await tab.waitForURL(`${address}/login`)
      await tab.getByLabel('Username').waitFor()
      t.strictSame(await keptBy(tab), [])
    }
    await page.goBack()
    await page.waitForURL(`${address}/login?next=%2F`)
    t.equal(await page.getByText('SECRET-1').count(), 0, 'going back shows nothing')
    t.strictSame(complaints, [])
  })

  t.test('another user who signs in finds no draft, and the other tabs follow', async (t) => {
    const { app, address, page } = await visit(t, browser)
    await createPerson(app.db, 'bob', 'viewer')
    await page.locator('#account', { hasText: 'vera' }).waitFor()
    const other = await page.context().newPage()
    await other.goto(`${address}/items`)
    await other.locator('#account', { hasText: 'vera' }).waitFor()
    await typeDraft(page)
    await page.goto(`${address}/login`)
    await fillLoginForm(page, 'bob', PASSWORD)
    for (const tab of [page, other]) await tab.locator('#account', { hasText: 'bob' }).waitFor()
    t.strictSame(await keptBy(page), [])
  })

  t.test('an error code in the address of the sign-in page is shown in fixed words only', async (t) => {
    const { address, page } = await visit(t, browser)
    await live(page)
    for (const error of ['constructor', 'toString', '__proto__', 'hasOwnProperty', '<b>x</b>', '']) {
      await page.goto(`${address}/login?error=${encodeURIComponent(error)}`)
      t.equal(await page.getByRole('alert').innerText(), 'Sign-in failed. Try again.')
    }
  })
})

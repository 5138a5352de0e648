import t from 'tap'
import { faultsOf } from '../harness/axe.js'
import { testInBrowser } from '../harness/browser.js'
import { changeItem, createItem, line } from '../harness/panel.js'
import { live, visit } from '../harness/visit.js'

const LONG = 'a_word_without_any_place_to_break_it_'.repeat(10)

await testInBrowser(t, (browser) => {
  for (const colorScheme of ['light', 'dark'] as const) {
    t.test(`axe finds no violation in the panel and the sign-in, ${colorScheme}`, async (t) => {
      const { app, address, page, send } = await visit(t, browser)
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.getByText('No changes yet.').waitFor()
      t.strictSame(await faultsOf(page), [], 'empty')
      await createItem(send, 'A01-0001', 'Bracket, welded')
      await changeItem(send, 'A01-0001', { description: 'Bracket, bent', comment: 'Cheaper' })
      await send('DELETE', '/api/items/A01-0001')
      await line(page, 'Archived').waitFor()
      await page.locator('#watchers', { hasText: 'connected' }).waitFor()
      t.strictSame(await faultsOf(page), [], 'with changes')
      await page.getByText('Changed', { exact: true }).first().click()
      await page.getByRole('button', { name: 'Pause' }).click()
      t.strictSame(await faultsOf(page), [], 'filtered and paused')
      await page.getByLabel('Part number').fill('&')
      await page.getByText('must be a part number').waitFor()
      t.strictSame(await faultsOf(page), [], 'with a filter that is refused')
      for (const mode of ['degraded', 'draining', 'read-only', 'offline']) {
        await page.evaluate(`
          banner.hidden = false
          banner.dataset.mode = '${mode}'
          banner.textContent = 'How it looks'
        `)
        t.strictSame(await faultsOf(page), [], mode)
      }
      await app.db`update tokens set revoked_at = now() where kind = 'session'`
      await page.getByRole('dialog').waitFor()
      t.strictSame(await faultsOf(page), [], 'with the sign-in dialog')
      await page.goto(`${address}/login?error=invalid_credentials`)
      await page.getByText('Incorrect username').waitFor()
      t.strictSame(await faultsOf(page), [], 'the sign-in page')
    })
  }

  t.test('no content is wider than a phone, whatever its text', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    await page.setViewportSize({ width: 320, height: 640 })
    await createItem(send, 'A'.repeat(64), LONG)
    await changeItem(send, 'A'.repeat(64), { properties: { mass: 1 }, comment: LONG })
    await line(page, 'Changed').waitFor()
    const overflow = () => page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')
    t.equal(await overflow(), 0, 'the panel')
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    await page.getByRole('dialog').waitFor()
    t.equal(await overflow(), 0, 'the sign-in dialog')
    await page.goto(`${address}/login?error=invalid_credentials`)
    t.equal(await overflow(), 0, 'the sign-in page')
  })

  t.test('everything can be operated by keyboard, in visual order', async (t) => {
    const { address, page, send } = await visit(t, browser)
    await createItem(send, 'A01-0001')
    await changeItem(send, 'A01-0001', { description: 'moved' })
    await line(page, 'Changed').waitFor()
    await live(page)
    await page.goto(address)
    await line(page, 'Changed').waitFor()
    const names: string[] = []
    for (let stop = 0; stop < 12; stop += 1) {
      await page.keyboard.press('Tab')
      names.push(
        await page.evaluate<string>(
          'document.activeElement.value || document.activeElement.textContent || document.activeElement.id',
        ),
      )
    }
    t.strictSame(
      names.map((name) => name.trim()),
      [
        'Skip to content',
        'Silo',
        'Activity',
        'Items',
        'Sign out',
        'created',
        'changed',
        'archived',
        'part',
        'Pause',
        'A01-0001',
        'A01-0001',
      ],
    )
    await page.keyboard.press('Enter')
    await page.waitForURL(`${address}/items/A01-0001`)
  })
})

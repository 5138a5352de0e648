import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { testInBrowser } from '../harness/browser.js'
import { changeItem, createItem, line } from '../harness/panel.js'
import { live, visit } from '../harness/visit.js'

/**
 * Simulates fonts that are installed elsewhere: wider letters, or more space between them (WCAG 2.2, 1.4.12).
 */
const FONTS: Record<string, string> = {
  'as installed': '',
  'letters further apart':
    '* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; line-height: 1.5 !important }',
  'letters a quarter wider': '* { letter-spacing: 0.14em !important }',
  monospaced: '* { font-family: monospace !important }',
  serif: '* { font-family: serif !important }',
  'a root font of 18 px': ':root { font-size: 18px !important }',
}

const LONG = 'a_word_without_any_place_to_break_it_'.repeat(10)

/** Returns the innermost elements that extend beyond the right edge of the page. */
const findWide = (page: Page): Promise<string[]> =>
  page.evaluate<string[]>(`(() => {
    if (document.documentElement.scrollWidth <= innerWidth) return []
    const excess = (e) => e.getBoundingClientRect().right - innerWidth
    const wide = [...document.querySelectorAll('body *')].filter((e) => excess(e) > 0.5)
    return wide.filter((e) => !wide.some((other) => other !== e && e.contains(other)))
      .map((e) => e.tagName + '#' + e.id + '.' + e.className + ' ' + Math.ceil(excess(e)))
      .concat('page ' + (document.documentElement.scrollWidth - innerWidth))
  })()`)

async function checkAll(t: Test, page: Page, state: string): Promise<void> {
  for (const [font, style] of Object.entries(FONTS)) {
    await page.evaluate(`(() => {
      const sheet = new CSSStyleSheet()
      sheet.replaceSync(${JSON.stringify(style)})
      document.adoptedStyleSheets = [sheet]
    })()`)
    t.strictSame(await findWide(page), [], `${state}, ${font}`)
  }
}

await testInBrowser(t, (browser) => {
  t.test('no page is wider than a phone, in any font and any state', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    await page.setViewportSize({ width: 320, height: 640 })
    await live(page)
    await checkAll(t, page, 'the activity, empty')
    await createItem(send, 'A'.repeat(64), LONG)
    await changeItem(send, 'A'.repeat(64), { properties: { mass: 1 }, comment: LONG })
    await line(page, 'Changed').waitFor()
    await checkAll(t, page, 'the activity')
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByLabel('Part number').fill('&')
    await page.getByText('must be a part number').waitFor()
    await checkAll(t, page, 'the activity, filtered and paused')
    for (const mode of ['degraded', 'draining', 'read-only', 'offline']) {
      await page.evaluate(`
        banner.hidden = false
        banner.dataset.mode = '${mode}'
        banner.textContent = 'No connection since 10:04. What you see may be old.'
      `)
    }
    await checkAll(t, page, 'with a banner')

    await page.goto(`${address}/items`)
    await page.getByRole('button', { name: 'New item' }).waitFor()
    await checkAll(t, page, 'the items')
    await page.getByRole('button', { name: 'New item' }).click()
    await page.getByRole('dialog', { name: 'New item' }).waitFor()
    await checkAll(t, page, 'a new item')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Import…' }).click()
    await page.getByRole('dialog', { name: 'Import items' }).waitFor()
    await checkAll(t, page, 'the import')

    await page.goto(`${address}/items/${'A'.repeat(64)}`)
    await page.getByText(LONG).first().waitFor()
    await checkAll(t, page, 'an item')

    await page.goto(`${address}/`)
    await live(page)
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    await page.getByRole('dialog').waitFor()
    await checkAll(t, page, 'the sign-in on top')
    await page.goto(`${address}/login?error=invalid_credentials`)
    await page.getByText('Incorrect username').waitFor()
    await checkAll(t, page, 'the sign-in with an error')
  })
})

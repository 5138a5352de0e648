import t from 'tap'
import { testInBrowser } from '../harness/browser.js'
import { changeItem, createItem, line } from '../harness/panel.js'
import { live, visit } from '../harness/visit.js'

await testInBrowser(t, (browser) => {
  t.test('the page of a part shows it and its revisions, and is updated live', async (t) => {
    const { address, page, send, complaints } = await visit(t, browser)
    await live(page)
    await createItem(send, 'A01-0001', 'Bracket, welded')
    await line(page, 'A01-0001').getByRole('link').click()
    await page.waitForURL(`${address}/items/A01-0001`)
    await page.locator('#fields', { hasText: 'Bracket, welded' }).waitFor()
    await changeItem(send, 'A01-0001', { properties: { mass: 1.5 }, comment: 'Weighed' })
    await page.locator('#properties', { hasText: 'mass1.5' }).waitFor()
    const newest = page.locator('#revisions > li').first()
    t.match(await newest.textContent(), /Revision 2.*edith.*Weighed.*mass– → 1\.5/)
    t.strictSame(complaints, [])
    await send('DELETE', '/api/items/A01-0001')
    await page.locator('#archived').waitFor()
    t.equal(await page.locator('#revisions > li').count(), 2, 'its revisions are still shown')
  })
})

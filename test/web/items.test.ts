import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { faultsOf } from '../harness/axe.js'
import { testInBrowser } from '../harness/browser.js'
import { readCatalogue } from '../harness/catalogue.js'
import { type Send, clientAs } from '../harness/client.js'
import { live, visit } from '../harness/visit.js'
import { eventually } from '../../tools/harness/eventually.js'

const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

const row = (page: Page, text: string) => page.locator('#rows > tr', { hasText: text })
const listed = (page: Page) => page.locator('#rows .number').allTextContents()

const create = (send: Send, part_number: string, more: object = {}) =>
  send('POST', '/api/items', { payload: { part_number, ...more } })

/** Waits until the list has exactly these part numbers, in this order. */
const untilListed = (page: Page, ...numbers: string[]) =>
  eventually(`the list to be ${numbers.join()}`, async () => (await listed(page)).join() === numbers.join())

await testInBrowser(t, (browser) => {
  t.test('the list is updated live when an item is created, changed or archived elsewhere', async (t) => {
    const { page, send, complaints } = await visit(t, browser, '/items')
    await page.getByText('No items yet.').waitFor()
    await live(page)
    await create(send, 'B02-0001', { description: 'Bracket, welded' })
    await row(page, 'Bracket, welded').waitFor()
    await create(send, 'A01-0001', { description: HOSTILE })
    await untilListed(page, 'A01-0001', 'B02-0001')
    t.equal(await page.locator('#rows .description').first().textContent(), HOSTILE, 'is shown as text only')
    t.equal(await page.title(), 'Items · Silo')
    await send('PUT', '/api/items/B02-0001', { payload: { description: 'Bracket, bent' } })
    await row(page, 'Bracket, bent').waitFor()
    t.match(await row(page, 'Bracket, bent').textContent(), /B02-0001.*part2edithjust now/)
    await send('DELETE', '/api/items/A01-0001')
    await untilListed(page, 'B02-0001')
    t.strictSame(complaints, [])
  })

  t.test('the search, the types and the order are in the address, and apply to new items', async (t) => {
    const { address, page, send, complaints } = await visit(t, browser, '/items')
    await create(send, 'A01-0001', { description: 'Bracket, welded' })
    await create(send, 'A01-0002', { description: 'Bracket, bent', item_type: 'assembly' })
    await create(send, 'A01-0003', { description: 'Leg, left', item_type: 'assembly' })
    await untilListed(page, 'A01-0001', 'A01-0002', 'A01-0003')
    await page.getByLabel('Search part numbers').fill('bracket')
    await untilListed(page, 'A01-0001', 'A01-0002')
    await page.getByText('Assemblies').click()
    await untilListed(page, 'A01-0002')
    await page.getByLabel('Sort').selectOption('Part number, Z to A')
    await page.waitForURL(`${address}/items?search=bracket&item_type=assembly&sort=-part_number`)
    await page.reload()
    await untilListed(page, 'A01-0002')
    await live(page)
    await create(send, 'A01-0004', { description: 'Bracket, milled', item_type: 'assembly' })
    await untilListed(page, 'A01-0004', 'A01-0002')
    t.equal(await page.getByLabel('Search part numbers').inputValue(), 'bracket')
    t.equal(await page.getByLabel('Assemblies').isChecked(), true)
    await page.getByLabel('Search part numbers').fill('nothing like it')
    await page.getByText('No items match your search.').waitFor()
    t.strictSame(complaints, [])
  })

  t.test('a long list is paged in both directions, and only one page is in the document', async (t) => {
    const { app, page, complaints } = await visit(t, browser, '/items')
    await app.db`
      insert into items (part_number)
      select 'A01-' || lpad(n::text, 4, '0')
        from generate_series(1, 120) n
    `
    await page.getByText('First 50 items').waitFor()
    await page.getByRole('link', { name: 'Next' }).click()
    await row(page, 'A01-0051').waitFor()
    await page.getByRole('link', { name: 'Next' }).click()
    await row(page, 'A01-0120').waitFor()
    t.equal((await listed(page)).length, 20)
    t.equal(await page.getByRole('link', { name: 'Next' }).count(), 0)
    await page.reload()
    await row(page, 'A01-0120').waitFor()
    await page.getByRole('link', { name: 'Previous' }).click()
    await row(page, 'A01-0051').waitFor()
    t.equal((await listed(page)).length, 50)
    await page.goBack()
    await row(page, 'A01-0120').waitFor()
    t.strictSame(complaints, [])
  })

  t.test('an item is created with a part number, or with the next one of a category', async (t) => {
    const { app, page } = await visit(t, browser, '/items')
    await page.getByRole('button', { name: 'New item' }).click()
    const dialog = page.getByRole('dialog', { name: 'New item' })
    await dialog.getByRole('textbox', { name: 'Part number' }).fill('A01-0007')
    await dialog.getByLabel('Description').fill('Bracket')
    await dialog.getByLabel('Sourcing').selectOption('purchased')
    await dialog.getByRole('button', { name: 'Add property' }).click()
    await dialog.getByLabel('Property name').fill('mass')
    await dialog.getByLabel('Kind').selectOption('Number')
    await dialog.getByLabel('Value', { exact: true }).fill('heavy')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await dialog.getByText('mass must be a number, like 1.5').waitFor()
    await dialog.getByLabel('Value', { exact: true }).fill('1.50')
    await dialog.getByLabel('Comment').fill('As drawn')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByText('Created A01-0007').waitFor()
    await row(page, 'Bracket').waitFor()
    const [made] = await app.db`
      select item_type, description, sourcing_type, properties, comment
        from revisions
       where revision_number = 1
    `
    t.strictSame(made, {
      item_type: 'part',
      description: 'Bracket',
      sourcing_type: 'purchased',
      properties: { mass: 1.5 },
      comment: 'As drawn',
    })

    await page.getByRole('button', { name: 'New item' }).click()
    await dialog.getByLabel('Next number in a category').check()
    await dialog.getByRole('textbox', { name: 'Category' }).fill('A01')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.locator('#news', { hasText: 'Created A01-0008' }).waitFor()

    await page.getByRole('button', { name: 'New item' }).click()
    await dialog.getByRole('textbox', { name: 'Part number' }).fill('a01-0008')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await dialog.getByText('part_number is taken').waitFor()
    t.equal(await dialog.getByRole('textbox', { name: 'Part number' }).getAttribute('aria-invalid'), 'true')
    await untilListed(page, 'A01-0007', 'A01-0008')
  })

  t.test('the draft of a new item is restored after the page has gone', async (t) => {
    const { page } = await visit(t, browser, '/items')
    await page.getByRole('button', { name: 'New item' }).click()
    const dialog = page.getByRole('dialog', { name: 'New item' })
    await dialog.getByLabel('Description').fill('Long thought about')
    await dialog.getByLabel('Next number in a category').check()
    await dialog.getByRole('textbox', { name: 'Category' }).fill('A01')
    await page.reload()
    await dialog.waitFor()
    t.equal(await dialog.getByLabel('Description').inputValue(), 'Long thought about')
    t.equal(await dialog.getByRole('textbox', { name: 'Category' }).inputValue(), 'A01')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'New item' }).click()
    t.equal(await dialog.getByLabel('Description').inputValue(), 'Long thought about')
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'New item' }).click()
    t.equal(await dialog.getByLabel('Description').inputValue(), '')
  })

  t.test('a session that ends while a new item is typed is renewed, and the item is created', async (t) => {
    const { app, page } = await visit(t, browser, '/items')
    await page.getByRole('button', { name: 'New item' }).click()
    const dialog = page.getByRole('dialog', { name: 'New item' })
    await dialog.getByRole('textbox', { name: 'Part number' }).fill('A01-0001')
    await app.db`update tokens set revoked_at = now() where kind = 'session'`
    const again = page.getByRole('dialog', { name: 'Sign in again' })
    await again.waitFor()
    await again.getByLabel('Password').fill('correct horse battery staple')
    await again.getByRole('button', { name: 'Sign in' }).click()
    await again.waitFor({ state: 'detached' })
    await dialog.getByRole('button', { name: 'Create' }).click()
    await untilListed(page, 'A01-0001')
    t.strictSame([...(await app.db`select part_number from items`)], [{ part_number: 'A01-0001' }])
  })

  t.test('an import with a bad row names it and writes nothing; a corrected one is imported', async (t) => {
    const { app, page, send } = await visit(t, browser, '/items')
    await create(send, 'A01-0001', { description: 'Bracket' })
    const choose = (name: string, text: string) =>
      page
        .getByLabel('File', { exact: true })
        .setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(text) })
    const errors = () => page.locator('#row-errors tbody tr').allTextContents()
    await page.getByRole('button', { name: 'Import…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Import items' })
    const importNow = dialog.getByRole('button', { name: 'Import', exact: true })
    const check = dialog.getByRole('button', { name: 'Check file' })

    await choose('parts.csv', `Part Number,Type\nA01-0002,part\nA01-0003,${HOSTILE.replaceAll('"', '')}\n`)
    await check.click()
    await dialog.getByText('Nothing was imported: 1 error.').waitFor()
    t.match(await errors(), [/^2item_typemust be one of part, assembly/])
    t.equal(await importNow.isDisabled(), true)

    await choose('parts.csv', 'Part Number,Part Name\nA01-0001,Bracket, bent\n')
    await check.click()
    await dialog.getByText('Nothing was imported: 1 error.').waitFor()
    t.match(await errors(), [/^1rowhas 3 cells/], 'the errors of the previous file are gone')

    await choose(
      'parts.ndjson',
      '{"part_number":"A01-0001","description":"Bent"}\n{"part_number":"A01-0002"}\n',
    )
    await check.click()
    await dialog.getByText('Nothing was imported: 1 error.').waitFor()
    t.match(await errors(), [/^1part_number/], 'an item that differs is an error by default')

    await dialog.getByLabel('Update the item').check()
    await choose(
      'parts.ndjson',
      '{"part_number":"A01-0001","description":"Bent"}\n{"part_number":"A01-0002"}\n',
    )
    await check.click()
    await dialog.getByText('No errors found: 1 created, 1 updated. Nothing has been imported yet.').waitFor()
    const [{ count } = { count: -1 }] = await app.db<{ count: number }[]>`
      select count(*)::int from revisions
    `
    t.equal(count, 1, 'nothing has been written')
    await importNow.click()
    await page.getByText('Imported: 1 created, 1 updated.').waitFor()
    await untilListed(page, 'A01-0001', 'A01-0002')
    await row(page, 'Bent').waitFor()

    await page.getByRole('button', { name: 'Import…' }).click()
    await choose('parts.xlsx', 'anything')
    await check.click()
    await dialog.getByText('Choose a .csv, .ndjson or .jsonl file.').waitFor()
  })

  t.test('the catalogue is imported, found, and exported as it is listed', async (t) => {
    const { page, send, complaints } = await visit(t, browser, '/items')
    await page.getByRole('button', { name: 'Import…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Import items' })
    const buffer = Buffer.from(readCatalogue().csv)
    await dialog
      .getByLabel('File', { exact: true })
      .setInputFiles({ name: 'catalogue.csv', mimeType: 'text/csv', buffer })
    await dialog.getByRole('button', { name: 'Check file' }).click()
    await dialog.getByText('No errors found').waitFor()
    await dialog.getByRole('button', { name: 'Import', exact: true }).click()
    await page.getByText('Imported: 86 created.').waitFor()
    await page.getByText('First 50 items').waitFor()
    await page.getByLabel('Search part numbers').fill('y-gantry')
    await page.waitForURL(/search=y-gantry/)
    const wanted = await send('GET', '/api/items?search=y-gantry', { headers: { accept: 'text/csv' } })
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export' }).click(),
    ])
    t.equal(download.suggestedFilename(), 'items.csv')
    t.equal(await readFile(await download.path(), 'utf8'), wanted.body)
    t.match(wanted.body, 'y-gantry')
    t.strictSame(complaints, [])
  })

  t.test('a viewer sees no buttons that write', async (t) => {
    const { page, send } = await visit(t, browser, '/items', { role: 'viewer' })
    await create(send, 'A01-0001')
    await untilListed(page, 'A01-0001')
    await page.locator('#account', { hasText: 'vera' }).waitFor()
    t.equal(await page.getByRole('button', { name: 'New item' }).count(), 0)
    t.equal(await page.getByRole('button', { name: 'Import…' }).count(), 0)
    t.equal(await page.getByRole('button', { name: 'Export' }).count(), 1)
    await page.getByRole('link', { name: 'A01-0001' }).click()
    await page.getByRole('heading', { name: 'Revision 1' }).waitFor()
    await page.locator('#account', { hasText: 'vera' }).waitFor()
    t.equal(await page.getByRole('button', { name: 'Edit' }).count(), 0)
    t.equal(await page.getByRole('button', { name: 'Archive…' }).count(), 0)
  })

  t.test('a read-only server disables the buttons, says why, and enables them again', async (t) => {
    const { app, page, send } = await visit(t, browser, '/items/A01-0001')
    await create(send, 'A01-0001')
    const edit = page.getByRole('button', { name: 'Edit' })
    await edit.click()
    const save = page.getByRole('dialog').getByRole('button', { name: 'Save' })
    const admin = await clientAs(app, 'admin')
    await admin('PUT', '/api/server/mode', { payload: { mode: 'read-only' } })
    await page.locator('#edit-form .why-not', { hasText: 'Silo is read-only' }).waitFor()
    t.equal(await save.isDisabled(), true)
    await page.keyboard.press('Escape')
    t.equal(await edit.isDisabled(), true)
    t.match(await page.locator('#why-not').textContent(), 'Silo is read-only')
    await admin('PUT', '/api/server/mode', { payload: { mode: 'normal' } })
    await page.locator('fieldset:not(:disabled) > #edit').waitFor()
    t.equal(await page.locator('#why-not').textContent(), '')
  })

  t.test('axe finds no violation in the list and its dialogs, in light and dark', async (t) => {
    const { page, send } = await visit(t, browser, '/items')
    await create(send, 'A01-0001', { description: 'Bracket' })
    await untilListed(page, 'A01-0001')
    await page.emulateMedia({ reducedMotion: 'reduce' })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      t.strictSame(await faultsOf(page), [], `the list, ${colorScheme}`)
      for (const name of ['New item', 'Import…']) {
        await page.getByRole('button', { name }).click()
        t.strictSame(await faultsOf(page), [], `${name}, ${colorScheme}`)
        await page.keyboard.press('Escape')
      }
    }
  })

  t.test('on a phone nothing is wider than the screen', async (t) => {
    const { page, send } = await visit(t, browser, '/items')
    await page.setViewportSize({ width: 360, height: 740 })
    await create(send, 'A'.repeat(64), { description: 'W'.repeat(2000) })
    await untilListed(page, 'A'.repeat(64))
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
    for (const name of ['New item', 'Import…']) {
      await page.getByRole('button', { name }).click()
      t.equal(await page.evaluate(`document.querySelector('dialog[open]').scrollWidth`), 360, name)
      await page.keyboard.press('Escape')
    }
  })
})

import type { Page } from 'playwright-core'
import t from 'tap'
import { faultsOf } from '../harness/axe.js'
import { testInBrowser } from '../harness/browser.js'
import type { Send } from '../harness/client.js'
import { visit } from '../harness/visit.js'

const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

const create = (send: Send, more: object = {}) =>
  send('POST', '/api/items', { payload: { part_number: 'A01-0001', ...more } })
const change = (send: Send, payload: object) => send('PUT', '/api/items/A01-0001', { payload })
const readItem = async (send: Send) =>
  (await send('GET', '/api/items/A01-0001')).json<Record<string, unknown>>()

const revision = (page: Page, number: number) =>
  page.locator('#revisions > li', { hasText: `Revision ${number}` })

async function openEdit(page: Page) {
  await page.getByRole('button', { name: 'Edit' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('heading', { name: 'Edit A01-0001' }).waitFor()
  return dialog
}

const choice = (page: Page, field: string, side: 'Theirs' | 'Mine') =>
  page.getByRole('group', { name: field, exact: true }).getByLabel(side)

await testInBrowser(t, (browser) => {
  t.test('an edit creates a revision, with its comment and the fields that it changed', async (t) => {
    const { page, send, complaints } = await visit(t, browser, '/items/A01-0001')
    await create(send, {
      description: 'Bracket, welded',
      long_description: 'one\r\ntwo',
      properties: { mass: 1.5, 'two\r\nlines': 'a\r\nb', finish: 'raw', deep: { a: [1, null] } },
    })
    const dialog = await openEdit(page)
    await dialog.getByLabel('Description').fill('Bracket, bent')
    await dialog.getByRole('group', { name: 'mass' }).getByLabel('Value').fill('1.25')
    await dialog.getByRole('group', { name: 'finish' }).getByRole('button', { name: 'Remove' }).click()
    await dialog.getByRole('button', { name: 'Add property' }).click()
    await dialog.getByRole('group', { name: 'New property' }).getByLabel('Property name').fill(HOSTILE)
    await dialog.getByRole('group', { name: HOSTILE }).getByLabel('Value').fill(HOSTILE)
    await dialog.getByLabel('Comment').fill('Cheaper')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved as revision 2.').waitFor()
    await revision(page, 2).waitFor()
    const text = await revision(page, 2).textContent()
    t.match(text, /Revision 2vera.*Cheaper/)
    t.match(text, 'DescriptionBracket, welded → Bracket, bent')
    t.match(text, 'mass1.5 → 1.25')
    t.match(text, 'finishraw → –')
    t.match(text, `${HOSTILE}– → ${HOSTILE}`)
    t.notMatch(text, 'Details')
    t.notMatch(text, 'deep')
    t.equal(await page.title(), 'A01-0001 · Silo', 'a hostile text is shown as text only')
    const { description, long_description, properties } = await readItem(send)
    t.strictSame(
      { description, long_description, properties },
      {
        description: 'Bracket, bent',
        long_description: 'one\r\ntwo',
        properties: { mass: 1.25, 'two\r\nlines': 'a\r\nb', deep: { a: [1, null] }, [HOSTILE]: HOSTILE },
      },
      'fields that were not edited are unchanged',
    )
    t.strictSame(
      complaints.filter((complaint) => !complaint.includes('404')),
      [],
    )
  })

  t.test('numbers that a double cannot represent are shown as written, and survive an edit', async (t) => {
    const { page, send, app } = await visit(t, browser, '/items/A01-0001')
    await create(send)
    const stored =
      '{"deep": {"a": [9007199254740993, 2]}, "mass": 0.10000000000000000555, "serial": 12345678901234567890}'
    await app.db`update items set properties = ${stored}::text::jsonb`
    await page.locator('#properties', { hasText: 'serial12345678901234567890' }).waitFor()
    t.match(
      await page.locator('#properties').textContent(),
      'deep{"a":[9007199254740993,2]}mass0.10000000000000000555',
    )
    const dialog = await openEdit(page)
    const value = (name: string) => dialog.getByRole('group', { name }).getByLabel('Value').inputValue()
    t.equal(await value('mass'), '0.10000000000000000555')
    t.equal(await value('deep'), '{"a":[9007199254740993,2]}')
    await dialog.getByRole('button', { name: 'Add property' }).click()
    await dialog.getByRole('group', { name: 'New property' }).getByLabel('Property name').fill('finish')
    await dialog.getByRole('group', { name: 'finish' }).getByLabel('Value').fill('raw')
    // The tab stores the draft, with the item as it was.
    await page.reload()
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved as revision 3.').waitFor()
    const saved = async () =>
      (await app.db<{ text: string }[]>`select properties::text as text from items`)[0]?.text
    t.equal(await saved(), stored.replace(', "serial"', ', "finish": "raw", "serial"'))

    await page.getByRole('button', { name: 'Edit' }).click()
    await dialog.getByRole('group', { name: 'serial' }).getByLabel('Value').fill('98765432109876543210')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('send it as text').waitFor()
    t.match(await saved(), '12345678901234567890', 'a typed number is not rounded either, but refused')
  })

  t.test('nothing is saved if nothing was changed, or if a value is invalid', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await create(send, { properties: { mass: 1.5, holes: [1, 2] } })
    const dialog = await openEdit(page)
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('There are no changes to save.').waitFor()
    await dialog.getByRole('group', { name: 'holes' }).getByLabel('Value').fill('[1, 2')
    await dialog.getByRole('button', { name: 'Add property' }).click()
    await dialog.getByRole('group', { name: 'New property' }).getByLabel('Property name').fill('mass')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByText('holes must be JSON').waitFor()
    await dialog.getByText('mass is listed twice').waitFor()
    t.equal((await readItem(send)).revision, 1)
  })

  t.test('after a conflict a user compares both versions, chooses by field, and saves again', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await create(send, { description: 'Bracket', properties: { mass: 1, finish: 'raw', hue: 'grey' } })
    const dialog = await openEdit(page)
    await dialog.getByLabel('Description').fill('Bracket, mine')
    await dialog.getByLabel('Details').fill('Only mine')
    await dialog.getByRole('group', { name: 'mass' }).getByLabel('Value').fill('2')
    await dialog.getByRole('group', { name: 'hue' }).getByRole('button', { name: 'Remove' }).click()
    await dialog.getByLabel('Comment').fill('Both')
    await change(send, {
      description: 'Bracket, theirs',
      sourcing_type: 'purchased',
      properties: { mass: 3, finish: 'raw', hue: 'grey' },
      comment: 'I was first',
    })
    await dialog.getByText('edith saved revision 2: “I was first”.').waitFor()
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.getByRole('heading', { name: 'This item changed while you were editing' }).waitFor()
    t.equal((await readItem(send)).revision, 2, 'nothing of the edit was saved')
    t.equal(await choice(page, 'Sourcing', 'Theirs').isChecked(), true, 'changed by them alone')
    t.equal(await choice(page, 'Details', 'Mine').isChecked(), true, 'changed by me alone')
    t.equal(await choice(page, 'hue', 'Mine').isChecked(), true)
    t.equal(await page.getByRole('group', { name: 'finish', exact: true }).count(), 0, 'changed by neither')
    t.match(
      await page.getByRole('group', { name: 'Description' }).textContent(),
      /Theirs.*Bracket, theirs.*Mine.*Bracket, mine/s,
    )
    await dialog.getByRole('button', { name: 'Save changes' }).click()
    t.equal(
      await dialog.getByRole('heading', { name: 'This item changed while you were editing' }).isVisible(),
      true,
    )
    t.equal((await readItem(send)).revision, 2, 'a field that both have changed must be chosen')
    await choice(page, 'Description', 'Theirs').check()
    await choice(page, 'mass', 'Mine').check()

    await change(send, { item_type: 'assembly' })
    await dialog.getByRole('button', { name: 'Save changes' }).click()
    await page.locator('#conflict-who', { hasText: 'revision 3' }).waitFor()
    t.equal(await choice(page, 'Type', 'Theirs').isChecked(), true)
    t.equal(await page.getByRole('group', { name: 'Description', exact: true }).count(), 0, 'chosen before')
    t.equal(await choice(page, 'mass', 'Mine').isChecked(), true)
    await dialog.getByRole('button', { name: 'Save changes' }).click()
    await revision(page, 4).waitFor()
    const { item_type, description, long_description, sourcing_type, properties } = await readItem(send)
    t.strictSame(
      { item_type, description, long_description, sourcing_type, properties },
      {
        item_type: 'assembly',
        description: 'Bracket, theirs',
        long_description: 'Only mine',
        sourcing_type: 'purchased',
        properties: { mass: 2, finish: 'raw' },
      },
    )
    t.match(await revision(page, 4).textContent(), 'Both')
  })

  t.test('a draft survives a reload, with the revision on which it is based', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await create(send, { description: 'Bracket' })
    const dialog = await openEdit(page)
    await dialog.getByLabel('Description').fill('Bracket, mine')
    await change(send, { description: 'Bracket, theirs' })
    await dialog.getByText('edith saved revision 2.').waitFor()
    await page.reload()
    await dialog.getByText('edith saved revision 2.').waitFor()
    t.equal(await dialog.getByLabel('Description').inputValue(), 'Bracket, mine')
    await dialog.getByRole('button', { name: 'Compare' }).click()
    await dialog.getByRole('button', { name: 'Use all of theirs' }).click()
    await dialog.getByRole('button', { name: 'Save changes' }).click()
    await dialog.waitFor({ state: 'hidden' })
    t.equal((await readItem(send)).revision, 2, 'their version is already saved')
    await openEdit(page)
    t.equal(await dialog.getByLabel('Description').inputValue(), 'Bracket, theirs', 'the draft is deleted')
  })

  t.test('an item is archived after a confirmation, and its page shows that it is', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await create(send, { description: 'Bracket' })
    await page.getByRole('button', { name: 'Archive…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Archive A01-0001?' })
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Archive…' }).click()
    await change(send, { description: 'Bracket, bent' })
    await revision(page, 2).waitFor()
    await dialog.getByRole('button', { name: 'Archive' }).click()
    await dialog
      .getByText('The item has changed: it is at revision 2. Review it before you archive it.')
      .waitFor()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Archive…' }).click()
    await dialog.getByRole('button', { name: 'Archive' }).click()
    await page.getByText('This item is archived').waitFor()
    t.equal((await send('GET', '/api/items/A01-0001')).statusCode, 404)
    t.equal(await page.getByRole('button', { name: 'Edit' }).count(), 0)
    await page.reload()
    await page.getByText('This item is archived').waitFor()
    await revision(page, 2).waitFor()
  })

  t.test('an unknown part number is shown as such until an item has it', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await page.getByText('There is no item with this part number.').waitFor()
    await create(send, { description: 'Bracket' })
    await page.locator('#fields', { hasText: 'Bracket' }).waitFor()
    t.equal(await page.locator('#problem').textContent(), '')
  })

  t.test(
    'many revisions are loaded page by page, each with its difference, and stay when new ones come',
    async (t) => {
      const { app, page, send } = await visit(t, browser, '/items/A01-0001')
      await create(send)
      await app.db`
      do $$
      begin
        for n in 2..60 loop
          update items set description = 'state ' || n;
        end loop;
      end
      $$
    `.simple()
      await revision(page, 60).waitFor()
      const older = page.getByRole('button', { name: 'Older revisions' })
      await older.click()
      await revision(page, 11).waitFor()
      t.match(await revision(page, 11).textContent(), 'state 10 → state 11')
      t.equal(await page.locator('#revisions > li').count(), 60)
      await change(send, { description: 'newest' })
      await revision(page, 61).waitFor()
      t.equal(await page.locator('#revisions > li').count(), 61)
      t.equal(await older.isVisible(), false)
    },
  )

  t.test('axe finds no violation in the page of an item and its dialogs', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await page.emulateMedia({ reducedMotion: 'reduce' })
    await create(send, { description: 'Bracket', properties: { mass: 1 } })
    await change(send, { description: 'Bracket, bent', comment: 'Cheaper' })
    await revision(page, 2).waitFor()
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      t.strictSame(await faultsOf(page), [], colorScheme)
    }
    await page.getByRole('button', { name: 'Archive…' }).click()
    t.strictSame(await faultsOf(page), [], 'the confirmation before archiving')
    await page.keyboard.press('Escape')
    const dialog = await openEdit(page)
    t.strictSame(await faultsOf(page), [], 'the form')
    await dialog.getByLabel('Description').fill('Bracket, mine')
    await change(send, { description: 'Bracket, theirs' })
    await dialog.getByRole('button', { name: 'Compare' }).click()
    await dialog.getByRole('heading', { name: 'This item changed while you were editing' }).waitFor()
    t.strictSame(await faultsOf(page), [], 'the difference')
  })

  t.test('on a phone the page of an item and its forms are not wider than the screen', async (t) => {
    const { page, send } = await visit(t, browser, '/items/A01-0001')
    await page.setViewportSize({ width: 360, height: 740 })
    const long = 'W'.repeat(300)
    await create(send, { description: long, properties: { [long]: long } })
    await change(send, { description: `${long}W` })
    await revision(page, 2).waitFor()
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), 360)
    const dialog = await openEdit(page)
    t.equal(await page.evaluate(`document.querySelector('dialog[open]').scrollWidth`), 360)
    await dialog.getByLabel('Description').fill('mine')
    await change(send, { description: `${long}WW` })
    await dialog.getByRole('button', { name: 'Compare' }).click()
    await dialog.getByRole('heading', { name: 'This item changed while you were editing' }).waitFor()
    t.equal(await page.evaluate(`document.querySelector('dialog[open]').scrollWidth`), 360)
  })
})

import t from 'tap'
import { startApp } from '../harness/app.js'
import { complaintsOf, testInBrowser } from '../harness/browser.js'
import { clientAs } from '../harness/client.js'
import { changeItem, createItem, kinds, line, numbers } from '../harness/panel.js'
import { createPerson } from '../harness/people.js'
import { listen, live, openPage, fillLoginForm, visit } from '../harness/visit.js'
import { eventually } from '../../tools/harness/eventually.js'

const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

await testInBrowser(t, (browser) => {
  t.test('a change appears live, as one line with its comment', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await live(page)
    await page.getByText('No changes yet.').waitFor()
    await createItem(send, 'A01-0001', 'Bracket, welded')
    await line(page, 'Bracket, welded').waitFor()
    await changeItem(send, 'A01-0001', { description: 'Bracket, bent', comment: 'Cheaper' })
    await line(page, 'Cheaper').waitFor()
    await send('DELETE', '/api/items/A01-0001')
    await line(page, 'Archived').waitFor()
    t.strictSame(await kinds(page), ['Archived', 'Changed', 'Created'], 'the newest first')
    t.match(await line(page, 'Created').textContent(), /A01-0001.*Rev\. 1.*Bracket, welded.*edith.*just now/)
    t.match(await line(page, 'Changed').textContent(), /A01-0001.*Rev\. 2.*Cheaper.*edith.*just now/)
    const time = page.locator('#lines time').first()
    t.match(await time.getAttribute('title'), /20\d\d at \d\d:\d\d:\d\d/, 'exact on hover')
    t.strictSame(complaints, [])
  })

  t.test('the line of a change has the description of its revision, which no event carries', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await createItem(send, 'A01-0001', 'Bracket, welded')
    await changeItem(send, 'A01-0001', { description: 'Bracket, bent' })
    await changeItem(send, 'A01-0001', { description: 'Bracket, milled' })
    await send('DELETE', '/api/items/A01-0001')
    const descriptions = () => page.locator('#lines .description').allTextContents()
    const complete = ['Bracket, milled', 'Bracket, milled', 'Bracket, bent', 'Bracket, welded']
    await eventually('the descriptions', async () => (await descriptions()).join() === complete.join())
    t.strictSame(complaints, [])
  })

  t.test('the newest 50 lines are loaded at the start, and later ones are added', async (t) => {
    const app = await startApp(t)
    const address = await listen(app)
    await createPerson(app.db, 'vera', 'viewer')
    const send = await clientAs(app, 'editor')
    for (const round of ['first', 'second']) {
      await app.db`
        insert into items (part_number)
        select ${`${round}-`} || lpad(n::text, 3, '0')
          from generate_series(1, 40) n
      `
    }
    const page = await openPage(t, browser)
    await page.setViewportSize({ width: 1000, height: 4000 })
    await page.goto(address)
    await fillLoginForm(page)
    await line(page, 'second-040').waitFor()
    t.equal(await page.locator('#lines > li').count(), 50)
    await live(page)
    await createItem(send, 'third-001')
    await line(page, 'third-001').waitFor()
    const shown = await numbers(page)
    t.equal(shown.length, 51)
    t.strictSame([shown[0], shown[1], shown[50]], ['third-001', 'second-040', 'first-031'])
  })

  t.test('a hostile text is shown as text only', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await createItem(send, 'A01-0001', HOSTILE)
    await changeItem(send, 'A01-0001', { properties: { [HOSTILE]: HOSTILE }, comment: HOSTILE })
    await line(page, 'Changed').locator('.comment', { hasText: HOSTILE }).waitFor()
    await line(page, 'Changed').locator('.description', { hasText: HOSTILE }).waitFor()
    await line(page, 'Created').locator('.description', { hasText: HOSTILE }).waitFor()
    t.equal(await page.locator('main img, main script').count(), 0)
    t.equal(await page.title(), 'Database Activity · Silo')
    t.strictSame(complaints, [])
  })

  t.test('a click on a part opens its page', async (t) => {
    const { address, page, send } = await visit(t, browser)
    await createItem(send, 'A01-0001', 'Bracket, welded')
    await line(page, 'A01-0001').getByRole('link').click()
    await page.waitForURL(`${address}/items/A01-0001`)
    await page.getByText('Bracket, welded').first().waitFor()
    t.match(await page.title(), 'A01-0001')
  })

  t.test('filters are in the address, and apply to past and to new events', async (t) => {
    const { address, page, send, complaints } = await visit(t, browser)
    await live(page)
    await createItem(send, 'A01-0001')
    await createItem(send, 'B02-0001')
    await changeItem(send, 'A01-0001', { description: 'moved' })
    await line(page, 'Rev. 2').waitFor()
    await page.getByText('Changed', { exact: true }).first().click()
    await page.getByLabel('Part number').fill('a01-*')
    await page.waitForURL(`${address}/?kind=changed&part=a01-*`)
    await line(page, 'B02-0001').waitFor({ state: 'detached' })
    await page.reload()
    await live(page)
    await changeItem(send, 'B02-0001', { description: 'not wanted' })
    await changeItem(send, 'A01-0001', { description: 'moved again' })
    await line(page, 'Rev. 3').waitFor()
    t.strictSame(await kinds(page), ['Changed', 'Changed'])
    t.strictSame(await numbers(page), ['A01-0001', 'A01-0001'])
    t.equal(await page.getByLabel('Part number').inputValue(), 'a01-*')
    t.equal(await page.getByRole('checkbox', { name: 'Changed' }).isChecked(), true)
    t.strictSame(complaints, [])
  })

  t.test('an invalid part number is refused with the reason, and nothing is shown for it', async (t) => {
    const { page, send } = await visit(t, browser, '/?part=%26%26')
    await page.getByText('must be a part number, or a prefix followed by *').waitFor()
    await createItem(send, 'A01-0001')
    t.equal(await page.locator('#lines > li').count(), 0)
    await page.getByLabel('Part number').fill('')
    await line(page, 'A01-0001').waitFor()
    t.equal(await page.locator('#problem').textContent(), '')
  })

  t.test('while paused no line is added, and resuming adds all that came meanwhile', async (t) => {
    const { page, send, complaints } = await visit(t, browser)
    await createItem(send, 'A01-0001')
    await line(page, 'A01-0001').waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await createItem(send, 'A01-0002')
    await changeItem(send, 'A01-0002', { description: 'edited', comment: 'while paused' })
    await page.getByRole('button', { name: 'Resume · 2 new' }).waitFor()
    t.strictSame(await numbers(page), ['A01-0001'])
    await page.getByRole('button', { name: 'Resume' }).click()
    await line(page, 'while paused').waitFor()
    t.strictSame(await kinds(page), ['Changed', 'Created', 'Created'])
    t.equal(await page.getByRole('button', { name: 'Pause' }).getAttribute('aria-pressed'), 'false')
    t.strictSame(complaints, [])
  })

  t.test(
    'of 10,000 changes only the visible ones are in the document, and each can be reached',
    async (t) => {
      const { app, page, complaints } = await visit(t, browser)
      await live(page)
      await app.db`
      insert into items (part_number)
      select 'A-' || lpad(n::text, 5, '0')
        from generate_series(1, 10001) n
    `
      await line(page, 'A-10001').waitFor()
      const rows = page.locator('#lines > li')
      t.ok((await rows.count()) < 50)
      t.equal(await rows.first().getAttribute('aria-setsize'), '10000')

      await page.keyboard.press('End')
      await line(page, 'A-00002').waitFor()
      t.ok((await rows.count()) < 50)
      t.equal(await line(page, 'A-00002').getAttribute('aria-posinset'), '10000')
      t.equal(await line(page, 'A-00001').count(), 0, 'the oldest has been removed')
      t.ok((await page.locator('*').count()) < 600)
      t.strictSame(complaints, [])
    },
  )

  t.test('the visible lines do not move while others are added above', async (t) => {
    const { app, page, send } = await visit(t, browser)
    // A page that is opened after the changes would begin with the newest 50 of them.
    await live(page)
    await app.db`
      insert into items (part_number)
      select 'A-' || lpad(n::text, 3, '0')
        from generate_series(1, 200) n
    `
    await line(page, 'A-200').waitFor()
    await page.evaluate('scrollTo(0, 2000)')
    const place = async () =>
      (await page.locator('#lines > li', { hasText: 'A-150' }).boundingBox())?.y ??
      t.fail('the line is not visible')
    await line(page, 'A-150').waitFor()
    const before = await place()
    await createItem(send, 'B-001')
    await page.getByRole('button', { name: '↑ 1 new' }).waitFor()
    t.ok(Math.abs(Number(await place()) - Number(before)) < 1, 'the line does not move')
    await page.getByRole('button', { name: '↑ 1 new' }).click()
    await line(page, 'B-001').waitFor()
    await page.getByRole('button', { name: '↑ 1 new' }).waitFor({ state: 'hidden' })
  })

  t.test('a row with the focus is not removed from the document', async (t) => {
    const { app, page } = await visit(t, browser)
    const insert = (prefix: string) => app.db`
      insert into items (part_number)
      select ${prefix} || lpad(n::text, 3, '0')
        from generate_series(1, 100) n
    `
    await insert('A-')
    await line(page, 'A-100').getByRole('link').focus()
    await insert('B-')
    await line(page, 'B-100').waitFor()
    const focused = page.locator('#lines :focus')
    t.equal(await focused.textContent(), 'A-100')
    const all = await numbers(page)
    t.equal(all.at(-1), 'A-100', 'in its position among the others')
    t.equal(await page.locator('#lines > li:has(:focus)').getAttribute('aria-posinset'), '101')
  })

  t.test('the panel shows the number of subscribers and of events per minute', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    await page.locator('#watchers', { hasText: '1 connected' }).waitFor()
    await createItem(send, 'A01-0001')
    await changeItem(send, 'A01-0001', { description: 'moved' })
    await page.locator('#rate-figure', { hasText: '3 events per minute' }).waitFor()
    const drawing = page.getByRole('img', { name: '3 events in the last minute' })
    t.match(await drawing.locator('polyline').getAttribute('points'), /^[\d. ,]+ 120\.0,2\.0$/)
    const elsewhere = await openPage(t, browser)
    await elsewhere.goto(address)
    await fillLoginForm(elsewhere)
    await elsewhere.locator('#watchers', { hasText: '2 connected' }).waitFor()
    t.equal(app.sse.clients, 2)
  })

  t.test('the panel shows at once that the server becomes read-only', async (t) => {
    const { app, page } = await visit(t, browser)
    await live(page)
    t.equal(await page.locator('#banner').isVisible(), false)
    const admin = await clientAs(app, 'admin')
    await admin('PUT', '/api/server/mode', { payload: { mode: 'read-only' } })
    await page.getByText('Silo is read-only. Items can’t be changed right now.').waitFor()
    await admin('PUT', '/api/server/mode', { payload: { mode: 'normal' } })
    await page.locator('#banner').waitFor({ state: 'hidden' })
  })

  t.test('new changes are announced to a screen reader at once, and then several at a time', async (t) => {
    const { page, send } = await visit(t, browser)
    await live(page)
    await createItem(send, 'A01-0001')
    await page.locator('#announcement', { hasText: '1 new change' }).waitFor({ state: 'attached' })
    for (const n of [2, 3, 4]) await createItem(send, `A01-000${n}`)
    await line(page, 'A01-0004').waitFor()
    t.equal(await page.locator('#announcement').textContent(), '1 new change')
    await page.locator('#announcement', { hasText: '3 new changes' }).waitFor({ state: 'attached' })
  })

  t.test('the page is shown before its data is loaded', async (t) => {
    const { address, page } = await visit(t, browser)
    await live(page)
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    await page.route('**/api/**', async (route) => {
      await held
      await route.continue()
    })
    const complaints = complaintsOf(page)
    await page.goto(address)
    await page.getByRole('heading', { name: 'Database Activity' }).waitFor()
    await page.getByRole('button', { name: 'Pause' }).waitFor()
    release()
    await page.getByText('No changes yet.').waitFor()
    t.strictSame(complaints, [])
  })
})

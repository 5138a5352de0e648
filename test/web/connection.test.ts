import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { Nginx } from '../../tools/harness/nginx.js'
import { freePort } from '../../tools/harness/ports.js'
import { connect } from '../../store/driver/connect.js'
import { testInBrowser } from '../harness/browser.js'
import { createDatabase } from '../harness/database.js'
import { needs } from '../harness/needs.js'
import { createItem, line, numbers } from '../harness/panel.js'
import { Site } from '../harness/site.js'
import { TcpProxy } from '../harness/tcp-proxy.js'
import { live, openPage, fillLoginForm, visit } from '../harness/visit.js'
import { eventually } from '../../tools/harness/eventually.js'

const state = (page: Page, text: RegExp) => page.locator('#state', { hasText: text }).waitFor()
const reconnecting = (page: Page) => state(page, /^Reconnecting \(\d+\)…$/)

async function openTab(beside: Page, url: string): Promise<Page> {
  const tab = await beside.context().newPage()
  await tab.goto(url)
  await live(tab)
  return tab
}

/** Signs mara in to a service process, or to a proxy in front of it. */
async function openPanel(t: Test, browser: Browser, origin: string): Promise<Page> {
  const page = await openPage(t, browser)
  await page.goto(origin)
  await fillLoginForm(page, 'mara')
  await live(page)
  return page
}

const post = async (t: Test, site: Site, origin: string, part_number: string) =>
  t.equal((await site.send('POST', `${origin}/api/items`, { part_number })).status, 201)

/** Simulates a browser without shared workers, as on phones. */
async function withoutSharedWorkers(page: Page): Promise<void> {
  await page.addInitScript('delete globalThis.SharedWorker')
  await page.reload()
}

const setVisibility = (page: Page, visibility: 'visible' | 'hidden') =>
  page.evaluate(`
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: '${visibility}' })
    document.dispatchEvent(new Event('visibilitychange'))
  `)

await testInBrowser(t, (browser) => {
  t.test(
    'tabs share one connection, each with its own filter, and miss nothing when the first is closed',
    async (t) => {
      const { app, address, page, send } = await visit(t, browser)
      await live(page)
      const created = await openTab(page, `${address}/?kind=created`)
      const b = await openTab(page, `${address}/?part=B*`)
      const ready = (await app.inject('/ready')).json<{ sse_clients: number }>()
      t.equal(ready.sse_clients, 1)
      await createItem(send, 'A-1')
      await createItem(send, 'B-1')
      await send('DELETE', '/api/items/B-1')
      await line(b, 'Archived').waitFor()
      await page.close()
      await createItem(send, 'A-2')
      await createItem(send, 'B-2')
      await line(created, 'B-2').waitFor()
      await line(b, 'B-2').waitFor()
      t.strictSame(await numbers(created), ['B-2', 'A-2', 'B-1', 'A-1'])
      t.strictSame(await numbers(b), ['B-2', 'B-1', 'B-1'])
      t.equal(app.sse.clients, 1)
      await created.close()
      await b.close()
      await eventually('the connection to end with the last tab', () => app.sse.clients === 0)
    },
  )

  t.test(
    'every tab reconnects by itself after the service is killed and restarted, and misses nothing',
    async (t) => {
      const site = await Site.open(t)
      const PORT = String(await freePort())
      const { service, origin } = await site.start({ PORT })
      const page = await openPanel(t, browser, origin)
      const other = await openTab(page, `${origin}/?part=A*`)
      await post(t, site, origin, 'A-1')
      await line(page, 'A-1').waitFor()
      await service.kill('SIGKILL')
      await reconnecting(page)
      await reconnecting(other)
      await site.sql`insert into items (part_number) values ('A-2'), ('A-3')`
      await site.start({ PORT })
      await live(page)
      await live(other)
      await post(t, site, origin, 'A-4')
      for (const tab of [page, other]) {
        await line(tab, 'A-4').waitFor()
        t.strictSame(await numbers(tab), ['A-4', 'A-3', 'A-2', 'A-1'])
      }
    },
  )

  const title = 'the panel reconnects through nginx to the other instance when its own ends'
  t.test(title, needs('nginx'), async (t) => {
    const site = await Site.open(t)
    const both = [
      await site.start({ TRUST_PROXY: 'loopback' }),
      await site.start({ TRUST_PROXY: 'loopback' }),
    ]
    const nginx = await Nginx.start(both.map(({ origin }) => Number(new URL(origin).port)))
    t.teardown(() => nginx.stop())
    const page = await openPanel(t, browser, nginx.origin)
    await post(t, site, nginx.origin, 'A-1')
    await line(page, 'A-1').waitFor()
    const clients = async (origin: string) =>
      ((await (await fetch(`${origin}/ready`)).json()) as { sse_clients: number }).sse_clients
    const counts = await Promise.all(both.map(({ origin }) => clients(origin)))
    t.strictSame(counts.toSorted(), [0, 1])
    const [serving, other] = counts[0] === 1 ? both : both.toReversed()
    t.equal(await serving?.service.kill('SIGTERM'), 0)
    await post(t, site, nginx.origin, 'A-2')
    await line(page, 'A-2').waitFor()
    await live(page)
    await post(t, site, nginx.origin, 'A-3')
    await line(page, 'A-3').waitFor()
    t.strictSame(await numbers(page), ['A-3', 'A-2', 'A-1'])
    t.equal(await clients(other?.origin ?? ''), 1)
  })

  t.test('events that a lagging instance has not returned yet are read before later ones', async (t) => {
    const { address, page, send } = await visit(t, browser)
    await live(page)
    for (const n of [1, 2, 3]) await createItem(send, `A-${n}`)
    await page.route('**/api/events?*last=*', async (route) => {
      const body = (await (await route.fetch()).json()) as { events: { id: string }[]; next: string }
      const events = body.events.slice(0, 1)
      await route.fulfill({ json: { ...body, events, next: events[0]?.id } })
    })
    await page.goto(address)
    await live(page)
    await line(page, 'A-3').waitFor()
    await createItem(send, 'A-4')
    await line(page, 'A-4').waitFor()
    t.strictSame(await numbers(page), ['A-4', 'A-3', 'A-2', 'A-1'])
  })

  t.test('when the log is replaced the panel shows the new one', async (t) => {
    const { app, page, send } = await visit(t, browser)
    await live(page)
    await createItem(send, 'A-1')
    await line(page, 'A-1').waitFor()
    await app.db`update event_log set seed = gen_random_uuid()`
    await app.db`truncate events`
    await createItem(send, 'A-2')
    await line(page, 'A-1').waitFor({ state: 'detached' })
    await line(page, 'A-2').waitFor()
    await createItem(send, 'A-3')
    await line(page, 'A-3').waitFor()
    t.strictSame(await numbers(page), ['A-3', 'A-2'])
  })

  t.test(
    'without the database the panel says so, stays live, and shows missed events as soon as it is back',
    async (t) => {
      const databaseUrl = await createDatabase(t)
      const proxy = await TcpProxy.open(t, databaseUrl)
      const { page, send } = await visit(t, browser, '/', { databaseUrl: proxy.through(databaseUrl) })
      await createItem(send, 'A-1')
      await line(page, 'A-1').waitFor()
      proxy.refuse()
      await page.getByText('Can’t reach the database.').waitFor()
      await live(page)
      const sql = connect(databaseUrl, 1)
      t.teardown(() => sql.end())
      await sql`insert into items (part_number) values ('A-2')`
      proxy.heal()
      await line(page, 'A-2').waitFor()
      await page.locator('#banner').waitFor({ state: 'hidden' })
      t.strictSame(await numbers(page), ['A-2', 'A-1'])
    },
  )

  t.test('the panel shows that the server is shutting down before it ends', async (t) => {
    const { app, page } = await visit(t, browser, '/', { DRAIN_DELAY_MS: 2000 })
    await live(page)
    const closing = app.close()
    await page.getByText('The server is shutting down.').waitFor()
    t.equal(app.sse.clients, 1, 'the stream is still open')
    await closing
    await reconnecting(page)
  })

  t.test('without a network the panel shows since when, and catches up afterwards', async (t) => {
    const { page, send } = await visit(t, browser)
    await live(page)
    await page.context().setOffline(true)
    await state(page, /^Offline since \d\d:\d\d$/)
    await page.getByText('No connection since').waitFor()
    await createItem(send, 'A-1')
    await page.context().setOffline(false)
    await live(page)
    await line(page, 'A-1').waitFor()
    t.equal(await page.locator('#banner').isVisible(), false)
  })

  t.test('after a sleep the panel detects that its connection is dead, and catches up', async (t) => {
    const { app, address, page, send } = await visit(t, browser)
    const proxy = await TcpProxy.open(t, address)
    await page.clock.install()
    // The cookie has the port in its name, so the address of the proxy needs a sign-in of its own.
    await page.goto(proxy.through(address))
    await fillLoginForm(page)
    await withoutSharedWorkers(page)
    await live(page)
    await eventually('the page to be the only one', () => app.sse.clients === 1)
    proxy.freeze()
    await createItem(send, 'A-1')
    await page.clock.fastForward(120_000)
    await reconnecting(page)
    t.strictSame(await numbers(page), [])
    proxy.heal()
    await live(page)
    await line(page, 'A-1').waitFor()
    t.strictSame(await numbers(page), ['A-1'])
  })

  t.test('without shared workers only the visible tab is connected', async (t) => {
    const { app, page, send } = await visit(t, browser)
    await withoutSharedWorkers(page)
    await live(page)
    await createItem(send, 'A-1')
    await line(page, 'A-1').waitFor()
    await setVisibility(page, 'hidden')
    await eventually('the connection to end', () => app.sse.clients === 0)
    await createItem(send, 'A-2')
    await createItem(send, 'A-3')
    await setVisibility(page, 'visible')
    await line(page, 'A-3').waitFor()
    t.equal(app.sse.clients, 1)
    t.strictSame(await numbers(page), ['A-3', 'A-2', 'A-1'])
  })
})

import type { IncomingMessage } from 'node:http'
import puppeteer, { type Page } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { Nginx } from '../../tools/harness/nginx.js'
import { createToken, startApp } from '../harness/app.js'
import { findChromium } from '../harness/browser.js'
import { createDatabase } from '../harness/database.js'
import { needs } from '../harness/needs.js'
import { PASSWORD, bearer, createPerson } from '../harness/people.js'
import { listen } from '../harness/watcher.js'

/** The timeout of the page's actions, in ms. It is long because the machine may be busy. */
const DEADLINE_MS = 30_000

/**
 * Starts two instances behind the shipped nginx.conf. `conditions` are the If-Match headers they received.
 */
async function startSite(t: Test) {
  const config = { databaseUrl: await createDatabase(t), TRUST_PROXY: ['loopback'] }
  const apps = [await startApp(t, config), await startApp(t, config)] as const
  const ports = [Number(new URL(await listen(apps[0])).port), Number(new URL(await listen(apps[1])).port)]
  const nginx = await Nginx.start(ports)
  t.teardown(() => nginx.stop())
  const conditions: string[] = []
  for (const { server } of apps) {
    server.on('request', ({ method, headers }: IncomingMessage) => {
      if (method === 'PUT') conditions.push(String(headers['if-match']))
    })
  }
  await createPerson(apps[0].db, 'vera', 'editor')
  return { origin: nginx.origin, token: await createToken(apps[0].db, 'editor', 'edith'), conditions }
}

const BROWSERS = {
  Chromium: {
    needed: needs('nginx', 'chromium'),
    launch: () =>
      puppeteer.launch({
        executablePath: findChromium() ?? 'chromium',
        args: ['--no-sandbox', '--disable-gpu', '--no-first-run'],
      }),
  },
  Firefox: {
    needed: needs('nginx', 'firefox-esr'),
    launch: () => puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr' }),
  },
}

const shown = (page: Page, selector: string) =>
  page.waitForSelector(selector, { visible: true, timeout: DEADLINE_MS })

/** Waits until the page shows a text. */
const says = (page: Page, text: string) => shown(page, `::-p-text(${text})`)

/** Clicks an element once it is visible, enabled and no longer moves. */
const click = (page: Page, selector: string, count = 1) =>
  page.locator(selector).setTimeout(DEADLINE_MS).click({ count })

async function edit(page: Page, field: string, text: string): Promise<void> {
  const input = `#edit-form [name="${field}"]`
  await click(page, '#edit')
  await click(page, input, 3)
  await page.type(input, text)
}

const save = (page: Page) => click(page, '#edit-form button.primary')
const isConflict = async (page: Page) => (await page.$('#conflict-form'))?.isVisible()

for (const [name, { needed, launch }] of Object.entries(BROWSERS)) {
  t.test(
    `a large item is edited in ${name} through nginx, and only a real conflict is reported`,
    needed,
    async (t) => {
      const { origin, token, conditions } = await startSite(t)
      const send = (method: string, path: string, body: object) =>
        fetch(origin + path, {
          method,
          headers: { ...bearer(token), 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      const item = {
        part_number: 'LARGE',
        description: 'Bracket',
        long_description: 'lorem ipsum\n'.repeat(4200),
      }
      t.ok(item.long_description.length > 50_000)
      t.equal((await send('POST', '/api/items', item)).status, 201)

      const browser = await launch()
      t.teardown(() => browser.close())
      const page = await browser.newPage()
      await page.goto(`${origin}/login?next=/items/LARGE`)
      await (await shown(page, '#username'))?.type('vera')
      await page.type('#password', PASSWORD)
      await page.click('button.primary')

      await edit(page, 'description', 'Bracket, bent')
      await save(page)
      await says(page, 'Saved as revision 2.')
      t.equal(await isConflict(page), false)
      await edit(page, 'description', 'Bracket, welded')
      await save(page)
      await says(page, 'Saved as revision 3.')
      t.equal(await isConflict(page), false)
      t.strictSame(conditions, ['W/"1"', 'W/"2"'], 'the page read a response that nginx has compressed')

      await edit(page, 'description', 'Bracket, glued')
      t.equal((await send('PUT', '/api/items/LARGE', { description: 'Bracket, riveted' })).status, 200)
      await save(page)
      await shown(page, '#conflict-form')
      const who = await (await page.$('#conflict-who'))?.getProperty('textContent')
      t.match(await who?.jsonValue(), 'edith saved revision 4')
      await page.click('#conflict-form button[value="mine"]')
      await page.click('#conflict-form button.primary')
      await says(page, 'Saved as revision 5.')
      t.equal(await isConflict(page), false)
      const read = await fetch(`${origin}/api/items/LARGE`, { headers: bearer(token) })
      t.match(await read.json(), { description: 'Bracket, glued', long_description: item.long_description })
    },
  )
}

import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { findChromium } from '../harness/browser.js'
import { needs } from '../harness/needs.js'
import { bearer, createPerson } from '../harness/people.js'
import { live, listen, fillLoginForm } from '../harness/visit.js'

/**
 * Returns the files of a browser's profile that contain a text, in UTF-8 or, as in its databases, in UTF-16.
 */
async function findText(profile: string, text: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(profile, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = await readFile(path)
    if (bytes.includes(text) || bytes.includes(text, 0, 'utf16le')) found.push(path.slice(profile.length))
  }
  return found
}

t.test(
  'no item is in the disk cache of a browser, and nothing of one is in its profile after signing out',
  needs('chromium'),
  async (t) => {
    const app = await startApp(t)
    const address = await listen(app)
    await createPerson(app.db, 'vera', 'editor')
    const secret = 'Zylinderkopfschraube'
    const created = await app.inject({
      method: 'POST',
      url: '/api/items',
      headers: bearer(await createToken(app.db, 'editor')),
      payload: { part_number: 'A01-0001', description: secret, long_description: `${secret}\n`.repeat(2000) },
    })
    t.equal(created.statusCode, 201)
    const profile = await mkdtemp(join(tmpdir(), 'silo-profile-'))
    t.teardown(() => rm(profile, { recursive: true, force: true }))
    const open = () =>
      chromium.launchPersistentContext(profile, {
        executablePath: findChromium() ?? 'chromium',
        chromiumSandbox: false,
        args: ['--disable-gpu', '--no-first-run'],
      })

    const before = await open()
    const page = await before.newPage()
    await page.goto(`${address}/login?next=/items/A01-0001`)
    await fillLoginForm(page)
    await page.getByText(secret).first().waitFor()
    await page.goto(`${address}/items`)
    await page.getByText(secret).first().waitFor()
    await live(page)
    for (const url of ['/api/items/A01-0001', '/api/items?search=zylinder', '/api/events?last=5']) {
      await page.evaluate(`fetch('${url}').then((response) => response.text())`)
    }
    await before.close()
    const isCache = (path: string) => path.includes('Cache')
    t.strictSame((await findText(profile, secret)).filter(isCache), [])
    const isStored = (await findText(profile, '/web/parts/dom.js')).some(isCache)
    t.ok(isStored, 'files of the pages are in the cache, so the right folder was searched')

    const after = await open()
    const again = await after.newPage()
    await again.goto(`${address}/items`)
    await again.getByRole('button', { name: 'Sign out' }).click()
    await again.waitForURL(`${address}/login`)
    await after.close()
    t.strictSame(await findText(profile, secret), [], 'nor in any other file')
  },
)

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core'
import { Person } from './person.js'

/** Takes the screenshots for docs/screenshots, from its own demo. CHROMIUM_PATH can name another Chromium. */

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const FOLDER = join(process.cwd(), 'docs', 'screenshots')
const DEMO = fileURLToPath(new URL('main.js', import.meta.url))
/** Number of changes that fill the first page, so that every screenshot shows some. */
const CHANGES = 12
const PATIENCE_MS = 120_000

const VERA = { username: 'vera', password: 'demo-vera', role: 'viewer', display_name: '' } as const
const MARA = { username: 'mara', password: 'demo-mara', role: 'editor', display_name: '' } as const

const DESK: BrowserContextOptions = { viewport: { width: 1200, height: 760 } }
const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 780 },
  deviceScaleFactor: 2,
  isMobile: true,
}

/** Waits until the demo prints its address, and returns that. */
function readOrigin(demo: ChildProcess): Promise<string> {
  let said = ''
  return new Promise((resolve, reject) => {
    demo.stdout?.on('data', (text: Buffer) => {
      said += text.toString()
      const origin = /^ {2}(http:\S+)$/m.exec(said)?.[1]
      if (origin !== undefined) resolve(origin)
    })
    demo.once('exit', () => reject(new Error(`the demo ended: ${said}`)))
  })
}

/** Waits until there have been enough changes. Returns the part number that was changed last. */
async function waitForChanges(origin: string): Promise<string> {
  const vera = await Person.signIn(origin, VERA)
  const until = Date.now() + PATIENCE_MS
  while (Date.now() < until) {
    const answer = await vera.send('GET', `/api/events?last=${CHANGES}&types=revision.created`, undefined)
    const { events } = (await answer.json()) as { events: { data: { part_number: string } }[] }
    const last = events.at(-1)
    if (events.length === CHANGES && last) return last.data.part_number
    await delay(500)
  }
  throw new Error('the demo makes no changes')
}

async function signIn(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/login`)
  await page.getByLabel('Username').fill(MARA.username)
  await page.getByLabel('Password').fill(MARA.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(`${origin}/`)
}

/** Opens a page with these options and signs in. Returns a function that takes a screenshot of a path. */
async function open(browser: Browser, origin: string, options: BrowserContextOptions) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  await signIn(page, origin)
  return async (name: string, path: string, sign: string) => {
    await page.goto(origin + path)
    await page.locator(sign).first().waitFor()
    await page.screenshot({ path: join(FOLDER, `${name}.png`) })
    console.log(`docs/screenshots/${name}.png`)
  }
}

async function takePictures(browser: Browser, origin: string): Promise<void> {
  const live = '#state[data-state="live"]'
  // Descriptions are loaded after the lines: matches when the first rows have theirs.
  const described = `:root:has(${live}) #lines > :nth-child(6) .description:not(:empty)`
  const part = await waitForChanges(origin)

  const stranger = await browser.newPage(DESK)
  await stranger.goto(`${origin}/login`)
  await stranger.screenshot({ path: join(FOLDER, 'sign-in.png') })

  const take = await open(browser, origin, { ...DESK, colorScheme: 'light' })
  await take('activity', '/', described)
  await take('items', '/items', live)
  await take('item', `/items/${part}`, live)
  await take('docs', '/docs', '.opblock')
  const takeDark = await open(browser, origin, { ...DESK, colorScheme: 'dark' })
  await takeDark('activity-dark', '/', described)
  const takeOnPhone = await open(browser, origin, { ...PHONE, colorScheme: 'light' })
  await takeOnPhone('activity-phone', '/', described)
}

await mkdir(FOLDER, { recursive: true })
const dataDir = await mkdtemp(join(tmpdir(), 'silo-screenshots-'))
const demo = spawn(process.execPath, [DEMO], {
  env: { ...process.env, PORT: '0', SILO_DATA_DIR: dataDir },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const ended = once(demo, 'exit')
try {
  const origin = await readOrigin(demo)
  const browser = await chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: false })
  try {
    await takePictures(browser, origin)
  } finally {
    await browser.close()
  }
} finally {
  demo.kill('SIGTERM')
  await ended
  await rm(dataDir, { recursive: true, force: true })
}

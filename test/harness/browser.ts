import { existsSync } from 'node:fs'
import { type Browser, type Page, chromium } from 'playwright-core'
import type { Test } from 'tap'
import { needs } from './needs.js'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/opt/google/chrome/chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
]

const ARGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A host name that resolves to this machine, and that the service must refuse.
  '--host-resolver-rules=MAP rebind.example 127.0.0.1',
]

/** Returns the path of Chromium: `CHROMIUM_PATH`, or the first usual path that exists. */
export function findChromium(): string | undefined {
  return process.env.CHROMIUM_PATH ?? PLACES.find((place) => existsSync(place))
}

export async function launchBrowser(t: Test, executablePath: string): Promise<Browser> {
  const browser = await chromium.launch({ executablePath, args: ARGS, chromiumSandbox: false })
  t.teardown(() => browser.close())
  return browser
}

/** Collects the page's uncaught errors and the errors on its console, which include every CSP violation. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`)
  })
  return complaints
}

/**
 * Declares tests that need a browser, and starts one for them. Where none is installed, they are skipped.
 * @throws {Error} under CI, where one must be installed
 */
export async function testInBrowser(t: Test, declare: (browser: Browser) => void): Promise<void> {
  const needed = needs('chromium')
  const chromium = findChromium()
  if (chromium === undefined) t.pass('in a browser (CHROMIUM_PATH names one)', needed)
  else declare(await launchBrowser(t, chromium))
}

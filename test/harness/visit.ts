import type { FastifyInstance } from 'fastify'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import type { AppConfig } from '../../config.js'
import type { Role } from '../../schemas/auth.js'
import { startApp } from './app.js'
import { complaintsOf } from './browser.js'
import { clientAs, type Send } from './client.js'
import { PASSWORD, createPerson } from './people.js'

/** The timeout of the page's actions, in ms. It is long because the machine may be busy. */
const DEADLINE_MS = 30_000

/** A browser that has signed in to an application that only this test uses. */
export interface Visit {
  app: FastifyInstance
  address: string
  page: Page
  /** Sends requests as another user, `edith`. */
  send: Send
  /** The page's errors, from `complaintsOf`. */
  complaints: string[]
}

export function listen(app: FastifyInstance, port = 0): Promise<string> {
  return app.listen({ host: '127.0.0.1', port })
}

/** Opens a page in a new browser context, without cookies. */
export async function openPage(t: Test, browser: Browser): Promise<Page> {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  context.setDefaultTimeout(DEADLINE_MS)
  return context.newPage()
}

export async function fillLoginForm(page: Page, username = 'vera', password = PASSWORD): Promise<void> {
  await page.getByLabel('Username').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Waits until the page shows that it is live. */
export const live = (page: Page): Promise<void> => page.locator('#state', { hasText: /^Live$/ }).waitFor()

/**
 * Starts an application and opens its page at `path`, signed in as `vera`. Signs in by a request, which is
 * quicker than the form of the sign-in page.
 */
export async function visit(
  t: Test,
  browser: Browser,
  path = '/',
  { role = 'editor', ...wanted }: { role?: Role; databaseUrl?: string } & Partial<AppConfig> = {},
): Promise<Visit> {
  const app = await startApp(t, wanted)
  const address = await listen(app)
  await createPerson(app.db, 'vera', role)
  const send = await clientAs(app, 'editor', 'edith')
  const page = await openPage(t, browser)
  const complaints = complaintsOf(page)
  const credentials = { username: 'vera', password: PASSWORD }
  // The response sets the cookies of the page's browser context.
  await page.context().request.post(`${address}/api/auth/login`, { data: credentials })
  await page.goto(address + path)
  return { app, address, page, send, complaints }
}

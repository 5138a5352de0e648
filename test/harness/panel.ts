import type { Locator, Page } from 'playwright-core'
import type { Send } from './client.js'

/** The panel's lines that contain this text. */
export const line = (page: Page, text: string): Locator => page.locator('#lines > li', { hasText: text })

/** The part numbers of the panel's lines, from the top. */
export const numbers = (page: Page): Promise<string[]> => page.locator('#lines .number').allTextContents()

/** The kind of change in each of the panel's lines, from the top. */
export const kinds = (page: Page): Promise<string[]> => page.locator('#lines .kind').allTextContents()

export const createItem = (send: Send, part_number: string, description = '') =>
  send('POST', '/api/items', { payload: { part_number, description } })

export const changeItem = (send: Send, part_number: string, payload: object) =>
  send('PUT', `/api/items/${part_number}`, { payload })

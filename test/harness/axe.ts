import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** Returns the violations that axe finds on the page, as `rule: element`. */
export async function faultsOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  return page.evaluate<string[]>(`
    axe.run().then(({ violations }) =>
      violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => id + ': ' + target.join(' '))))
  `)
}

import { stringifyJson } from '../lib/json.js'
import { type Item, Item as ItemSchema, ItemPage } from './responses.js'
import { jsonLine, painter, plain, print, printToStderr } from './screen.js'
import { type Where, openSession } from './session.js'

/** Maximum number of items in a page of the API. */
const PAGE = 500

/** The options of `silo get`. */
export interface GetOptions extends Where {
  json?: boolean
}

/** The options of `silo search`. */
export interface SearchOptions extends GetOptions {
  type?: string
  limit: number
}

const show = (value: unknown): string => plain(typeof value === 'string' ? value : stringifyJson(value))

/** Prints an item. */
export async function get(partNumber: string, { json = false, ...where }: GetOptions): Promise<void> {
  const client = await openSession(where)
  const path = `/api/items/${encodeURIComponent(partNumber)}`
  const item = await client.request(ItemSchema, 'GET', path)
  if (json) return print(jsonLine(stringifyJson(item)))

  const paint = painter(process.stdout)
  print(`${paint('bold', plain(item.part_number))}  ${plain(item.description)}`)
  const fields: [string, unknown][] = [
    ['type', item.item_type],
    ['sourcing', item.sourcing_type ?? ''],
    ['revision', item.revision],
    ['changed', `${item.updated_at} by ${item.updated_by}`],
    ['text', item.long_description],
    ...Object.entries(item.properties),
  ]
  const shown = fields.filter(([, value]) => value !== '')
  const width = Math.max(...shown.map(([name]) => plain(name).length))
  for (const [name, value] of shown) print(`  ${paint('dim', plain(name).padEnd(width))}  ${show(value)}`)
}

/** Reads up to `limit` items, page by page. `more` says whether further ones match. */
async function find(words: string[], { type, limit, ...where }: SearchOptions) {
  const client = await openSession(where)
  const items: Item[] = []
  let cursor: string | null = null
  do {
    const query = new URLSearchParams({ search: words.join(' '), limit: String(Math.min(PAGE, limit)) })
    if (type !== undefined) query.set('item_type', type)
    if (cursor !== null) query.set('cursor', cursor)
    const page: { items: Item[]; next_cursor: string | null } = await client.request(
      ItemPage,
      'GET',
      `/api/items?${query.toString()}`,
    )
    items.push(...page.items)
    cursor = page.next_cursor
  } while (cursor !== null && items.length < limit)
  return { items: items.slice(0, limit), more: cursor !== null || items.length > limit }
}

/** Prints the items that contain all these words. */
export async function search(words: string[], options: SearchOptions): Promise<void> {
  const { items, more } = await find(words, options)
  if (items.length === 0) printToStderr('No items found.')
  if (more) printToStderr(`Only the first ${items.length} items are shown: use --limit for more.`)
  if (options.json) return items.forEach((item) => print(jsonLine(stringifyJson(item))))

  const paint = painter(process.stdout)
  const width = Math.max(0, ...items.map(({ part_number }) => part_number.length))
  for (const { part_number, item_type, revision, description } of items) {
    const number = paint('bold', plain(part_number).padEnd(width))
    const about = paint('dim', `${plain(item_type).padEnd(10)}  rev ${String(revision).padEnd(3)}`)
    print(`${number}  ${about}  ${plain(description)}`)
  }
}

import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { startApp } from '../harness/app.js'
import { type Send, clientAs } from '../harness/client.js'
import { eventually } from '../../tools/harness/eventually.js'

const MIB = 1024 * 1024
/** More than the size of any item, in bytes. */
const LARGEST = 512 * 1024
const ITEMS = 60

/** Texts whose characters take six, two, three or one bytes each as JSON. */
const TEXTS = ['\u0001', '"', '漢', 'x'].map((character) => character.repeat(65_536))
/** Nearly 64 KiB of numbers, each of which is stored in ten bytes and printed with 301 digits. */
const NUMBERS = `{"n":[${Array.from({ length: 200 }, () => '1e300').join()}]}`

/**
 * Creates items near the maximum size, and small ones between them.
 * @returns their part numbers
 */
async function fill(app: FastifyInstance): Promise<string[]> {
  const rows = Array.from({ length: ITEMS }, (_, n) => ({
    part_number: `L-${String(n).padStart(3, '0')}`,
    long_description: n % 3 === 0 ? TEXTS[(n / 3) % TEXTS.length] : '',
    properties: n % 3 === 1 ? NUMBERS : '{}',
  }))
  await app.db`
    insert into items (part_number, long_description, properties)
    select part_number, long_description, properties::jsonb
      from json_to_recordset(${JSON.stringify(rows)}::text::json)
        as rows (part_number text, long_description text, properties text)
  `
  return rows.map(({ part_number }) => part_number)
}

interface Walk {
  pages: { bytes: number; entries: number }[]
  found: unknown[]
}

/** Reads a list to its end, page by page. */
async function walk(send: Send, path: string, list: string, name: string): Promise<Walk> {
  const pages: Walk['pages'] = []
  const found: unknown[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const res = await send('GET', `${path}${cursor === '' ? '' : `&cursor=${cursor}`}`)
    const page: Record<string, unknown> & { next_cursor: string | null } = res.json()
    const entries = page[list] as Record<string, unknown>[]
    pages.push({ bytes: res.rawPayload.length, entries: entries.length })
    found.push(...entries.map((entry) => entry[name]))
    cursor = page.next_cursor
  }
  return { pages, found }
}

t.test('pages are limited in bytes, and no entry of a list is missing because of it', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  const numbers = await fill(app)

  await t.test('pages of items, in every order, whatever the size of their texts as JSON', async (t) => {
    for (const sort of ['part_number', '-updated_at'] as const) {
      for (const limit of [500, 7]) {
        const { pages, found } = await walk(
          send,
          `/api/items?sort=${sort}&limit=${limit}`,
          'items',
          'part_number',
        )
        t.strictSame(found.sort(), numbers, `${sort} ${limit}`)
        for (const { bytes, entries } of pages) {
          t.ok(bytes < MIB + LARGEST, `${bytes} bytes`)
          t.ok(entries > 0 && entries <= limit)
        }
        t.ok(pages.slice(0, -1).every(({ bytes, entries }) => bytes >= MIB || entries === limit))
      }
    }
  })

  await t.test('a page of small items is limited by their number', async (t) => {
    const res = await send('GET', '/api/items?limit=50&updated_since=2000-01-01T00:00:00Z&search=L-00')
    t.equal(res.json<{ items: unknown[] }>().items.length, 10)
    t.equal(res.json<{ next_cursor: unknown }>().next_cursor, null)
  })

  await t.test('pages of revisions, even if one revision is larger than a page', async (t) => {
    for (const text of TEXTS) {
      await send('PUT', '/api/items/L-002', {
        payload: { long_description: text, comment: text.slice(0, 4000) },
      })
    }
    const path = '/api/items/L-002/revisions?limit=500'
    const { pages, found } = await walk(send, path, 'revisions', 'revision_number')
    t.strictSame(found, [5, 4, 3, 2, 1])
    t.ok(pages.every(({ bytes }) => bytes < MIB + LARGEST))
    const one = await walk(send, '/api/items/L-002/revisions?limit=1', 'revisions', 'revision_number')
    t.strictSame(one.found, [5, 4, 3, 2, 1])
  })

  await t.test('an export is read in slices, and has every item', async (t) => {
    const res = await send('GET', '/api/items', { headers: { accept: 'text/csv' } })
    const lines = res.body.split('\n').filter((line) => line.startsWith('L-'))
    t.strictSame(
      lines.map((line) => line.slice(0, 5)),
      numbers,
    )
  })

  await t.test('pages of the event log, from the oldest event and from the newest', async (t) => {
    await app.db`
      insert into items (part_number, description)
      select 'E-' || n, repeat(U&'\\0001', 2000) from generate_series(1, 300) n
    `
    const [newestEvent] = await app.db<{ id: string }[]>`select max(id)::text as id from events`
    app.sse.poll()
    await eventually('the log is read', () => app.sse.head.split('-')[1] === newestEvent?.id)
    const json = { headers: { accept: 'application/json' } }
    interface Page {
      events: { id: string; data: { part_number: string } }[]
      next: string
      head: string
    }
    const numbers = new Set<string>()
    for (let since = 'earliest', head = ''; since !== head;) {
      const res = await send('GET', `/api/events?limit=1000&since=${since}`, json)
      t.ok(res.rawPayload.length < MIB + LARGEST, `${res.rawPayload.length} bytes`)
      const page = res.json<Page>()
      for (const { data } of page.events) numbers.add(data.part_number)
      since = page.next
      head = page.head
    }
    t.equal([...numbers].filter((number) => number.startsWith('E-')).length, 300)

    const newest = await send('GET', '/api/events?last=1000', json)
    t.ok(newest.rawPayload.length < MIB + LARGEST, `${newest.rawPayload.length} bytes`)
    const { events, next, head } = newest.json<Page>()
    t.equal(events.at(-1)?.id, head)
    t.equal(next, head)
    t.ok(events.length > 50)
  })
})

import type { EventType } from '../../schemas/events.js'
import type { Sort } from '../../schemas/items.js'
import { Feed } from '../feed/feed.js'
import { type Item, type ItemPage, messageOf, read, request } from '../parts/api.js'
import { Create } from '../parts/create.js'
import { find, findAll, findIn, make, makeTime, setText, textsOf } from '../parts/dom.js'
import { showAccount, showStatus } from '../parts/header.js'
import { openImport, prepareImport } from '../parts/import.js'
import { keysOf } from '../parts/keys.js'
import { showPermission, showWritable } from '../parts/permission.js'
import { onDemand } from '../parts/refresh.js'

const PAGE = 50
/** Average minimum interval between reads of the list, in ms, however many events arrive. */
const SPACING_MS = 700
/** The search starts when the input has not changed for this long, in ms. */
const TYPING_MS = 250
/** How long the URL of an export is valid, in ms: by then the browser has read the file. */
const REVOKE_MS = 60_000

/**
 * Whether an event of each type can change the list. `revision.created` needs no read of its own, because
 * each comes with an `item.updated`.
 */
const CHANGES_LIST: Record<EventType, boolean> = {
  'item.created': true,
  'item.updated': true,
  'item.deleted': true,
  'revision.created': false,
}
const TYPES = keysOf<EventType>(CHANGES_LIST).filter((type) => CHANGES_LIST[type])

const form = find('filter', HTMLFormElement)
const table = find('items', HTMLTableElement)
const body = find('rows')
const searchInput = findIn(form, '[name=search]', HTMLInputElement)
const sortSelect = find('sort', HTMLSelectElement)

const SORTS = [...sortSelect.options].map(({ value }) => value)
const DEFAULT_SORT: Sort = 'part_number'

/** The search, the order and the page of the list, as the URL specifies them. */
interface ListState {
  search: string
  types: string[]
  sort: string
  /** The cursor of the page; '' for the first page. */
  cursor: string
}

/** Parses the query of a URL: the search, the order and the cursor of the page. */
function parseListState(search: string): ListState {
  const params = new URLSearchParams(search)
  const sort = params.get('sort')
  return {
    search: params.get('search')?.trim() ?? '',
    types: params.getAll('item_type'),
    sort: sort !== null && SORTS.includes(sort) ? sort : DEFAULT_SORT,
    cursor: params.get('cursor') ?? '',
  }
}

/** The inverse of `parseListState`, for the URL of the page and for the API. Defaults are left out. */
function queryOf({ search, types, sort, cursor }: ListState): URLSearchParams {
  const query = new URLSearchParams()
  if (search) query.set('search', search)
  for (const type of types) query.append('item_type', type)
  if (sort !== DEFAULT_SORT) query.set('sort', sort)
  if (cursor) query.set('cursor', cursor)
  return query
}

function addressOf(state: ListState): string {
  const query = queryOf(state)
  return query.size > 0 ? `/items?${query.toString()}` : '/items'
}

const listState = () => parseListState(location.search)

// The rows.

/** The rows by item id. */
let rows = new Map<string, Row>()

function makeRow() {
  const link = make('a', { className: 'number' })
  const cells = {
    description: make('td', { className: 'description' }),
    item_type: make('td', { className: 'type' }),
    revision: make('td', { className: 'revision-number' }),
    updated_by: make('td', { className: 'who' }),
    updated_at: make('td', { className: 'when' }),
  }
  const heading = make('th', { scope: 'row' }, link)
  return { element: make('tr', {}, heading, ...Object.values(cells)), link, cells }
}

/** A row, and the revision of the item that it shows; undefined before it is filled. */
type Row = ReturnType<typeof makeRow> & { revision?: number }

function fillRow({ link, cells }: Row, item: Item): void {
  link.href = `/items/${encodeURIComponent(item.part_number)}`
  link.textContent = item.part_number
  for (const name of ['description', 'item_type', 'updated_by'] as const) cells[name].textContent = item[name]
  cells.revision.textContent = `${item.revision}`
  cells.updated_at.replaceChildren(makeTime(new Date(item.updated_at)))
}

/**
 * Shows these items in order. An item that was shown before retains its element, so that the focus in it is
 * not lost. `fresh` highlights the rows that have changed.
 */
function showRows(items: Item[], fresh: boolean): void {
  const before = rows
  rows = new Map()
  for (const item of items) {
    const row: Row = before.get(item.id) ?? makeRow()
    rows.set(item.id, row)
    if (row.revision === item.revision) continue
    fillRow(row, item)
    row.revision = item.revision
    row.element.classList.toggle('fresh', fresh)
  }
  for (const [id, { element }] of before) if (!rows.has(id)) element.remove()
  const focused = document.activeElement
  let next = body.firstChild
  for (const { element } of rows.values()) {
    if (element === next) next = element.nextSibling
    else body.insertBefore(element, next)
  }
  if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true })
  }
}

function countOf(count: number, cursor: string, hasMore: boolean): string {
  if (count === 0) return ''
  const items = count === 1 ? '1 item' : `${count} items`
  if (!cursor && !hasMore) return items
  return cursor ? `${items} on this page` : `First ${items}`
}

/** The cursors of the pages through which the user came to this one. */
const pagesBefore = (): string[] => (history.state as { before?: string[] } | null)?.before ?? []

const previous = find('previous', HTMLAnchorElement)
const next = find('next', HTMLAnchorElement)

function showPaging(state: ListState, { items, next_cursor }: ItemPage): void {
  const { cursor } = state
  const before = pagesBefore()
  previous.hidden = !cursor
  // Without such cursors, for example after opening a link to a later page, only the first page is known.
  previous.textContent = before.length > 0 ? 'Previous' : 'First page'
  previous.href = addressOf({ ...state, cursor: before.at(-1) ?? '' })
  next.hidden = next_cursor === null
  next.href = addressOf({ ...state, cursor: next_cursor ?? '' })
  setText(find('count'), countOf(items.length, cursor, next_cursor !== null))
  table.hidden = items.length === 0
  find('empty').hidden = items.length > 0
  const isFiltered = cursor !== '' || state.search !== '' || state.types.length > 0
  setText(find('empty'), isFiltered ? 'No items match your search.' : 'No items yet.')
}

body.addEventListener('animationend', ({ target }) => {
  if (target instanceof Element) target.classList.remove('fresh')
})

// Reading.

/** The signal of the current list. It is aborted when another list is loaded. */
let shown: AbortSignal | undefined

/**
 * Reads and shows the current page. It is not patched from events, because only the server can search and
 * sort it (docs/decisions/0010).
 */
async function readPage(signal: AbortSignal, fresh: boolean): Promise<string | undefined> {
  const query = queryOf(listState())
  query.set('limit', String(PAGE))
  const page = await read(`/api/items?${query.toString()}`, signal)
  if (signal.aborted) return undefined
  showRows(page.items, fresh)
  showPaging(listState(), page)
  table.setAttribute('aria-busy', 'false')
  find('problem').textContent = ''
  return page.event_cursor
}

const refresh = onDemand(async () => {
  const signal = shown
  if (!signal) return
  try {
    await readPage(signal, true)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}, SPACING_MS)

const feed = new Feed({
  async load(signal) {
    shown = signal
    return readPage(signal, false)
  },
  received: refresh,
  changed(status) {
    showStatus(status)
    showWritable(status)
  },
  refused(error) {
    find('problem').textContent = error.message
  },
})

/** Shows the list that the URL specifies. */
function start(): void {
  table.setAttribute('aria-busy', 'true')
  void feed.start(new URLSearchParams({ types: TYPES.join(',') }))
}

// Searching and paging.

function showForm({ search, types, sort }: ListState): void {
  if (searchInput.value.trim() !== search) searchInput.value = search
  for (const box of findAll(form, '[name=item_type]', HTMLInputElement)) {
    box.checked = types.includes(box.value)
  }
  sortSelect.value = sort
}

function applyForm(): void {
  const address = addressOf(parseListState(new URLSearchParams(textsOf(form)).toString()))
  if (address === location.pathname + location.search) return
  history.replaceState(null, '', address)
  start()
}

let typing: number | undefined
form.addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(applyForm, TYPING_MS)
})
form.addEventListener('submit', (event) => {
  event.preventDefault()
  clearTimeout(typing)
  applyForm()
})

addEventListener('popstate', () => {
  showForm(listState())
  start()
})

function turnPage(event: MouseEvent, link: HTMLAnchorElement, before: string[]): void {
  // With a modifier key, the browser opens the page in another tab or window.
  if (event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  history.pushState({ before }, '', link.href)
  start()
  scrollTo(0, 0)
  table.focus({ preventScroll: true })
}

next.addEventListener('click', (event) => turnPage(event, next, [...pagesBefore(), listState().cursor]))
previous.addEventListener('click', (event) => turnPage(event, previous, pagesBefore().slice(0, -1)))

// Export, import and creation.

const exportButton = find('export', HTMLButtonElement)

exportButton.addEventListener('click', async () => {
  exportButton.disabled = true
  find('problem').textContent = ''
  try {
    const query = queryOf({ ...listState(), sort: DEFAULT_SORT, cursor: '' })
    const response = await request('GET', `/api/items?${query.toString()}`, {
      headers: { accept: 'text/csv' },
    })
    const href = URL.createObjectURL(await response.blob())
    make('a', { href, download: 'items.csv' }).click()
    setTimeout(() => URL.revokeObjectURL(href), REVOKE_MS)
  } catch (error) {
    find('problem').textContent =
      error instanceof TypeError ? 'Can’t reach the server. Try again.' : messageOf(error)
  } finally {
    exportButton.disabled = false
  }
})

function showNews(...nodes: (Node | string)[]): void {
  find('news').replaceChildren(...nodes)
}

prepareImport((text) => showNews(text))
find('import').addEventListener('click', openImport)

const prepare = onDemand(async () => {
  const account = await showAccount()
  showPermission(account)
  if (account.role === 'viewer') return
  const create = new Create(account, ({ part_number }) => {
    const href = `/items/${encodeURIComponent(part_number)}`
    showNews('Created ', make('a', { className: 'number', href }, part_number))
  })
  find('create').addEventListener('click', () => create.open())
}, SPACING_MS)

showForm(listState())
start()
prepare()

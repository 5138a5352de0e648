import { request, read } from './api.js'
import { Create } from './create.js'
import { Feed } from './feed.js'
import { showAccount, showStatus } from './header.js'
import { openImport, prepareImport } from './import.js'
import { find, make, makeTime, setText } from './page.js'
import { showPermission, showWritable } from './permission.js'
import { onDemand } from './refresh.js'

const PAGE = 50
/** Average minimum interval between reads of the list, in ms, however many events arrive. */
const SPACING_MS = 700
/** The search starts when the input has not changed for this long, in ms. */
const TYPING_MS = 250
/** How long the URL of an export is valid, in ms: by then the browser has read the file. */
const REVOKE_MS = 60_000

const form = find('filter')
const table = find('items')
const body = find('rows')

const SORTS = [...form.elements.sort.options].map(({ value }) => value)

/** Parses the query of an address: the search, and the cursor of the page. */
function wishOf(search) {
  const given = new URLSearchParams(search)
  const sort = given.get('sort')
  return {
    search: given.get('search')?.trim() ?? '',
    types: given.getAll('item_type'),
    sort: SORTS.includes(sort) ? sort : SORTS[0],
    cursor: given.get('cursor') ?? '',
  }
}

/** The inverse of `wishOf`, for the address and for the API. Defaults are left out. */
function queryOf({ search, types, sort, cursor }) {
  const query = new URLSearchParams()
  if (search) query.set('search', search)
  for (const type of types) query.append('item_type', type)
  if (sort !== SORTS[0]) query.set('sort', sort)
  if (cursor) query.set('cursor', cursor)
  return query
}

function addressOf(wish) {
  const query = queryOf(wish)
  return query.size > 0 ? `/items?${query}` : '/items'
}

const wish = () => wishOf(location.search)

// The rows.

/** The rows by item id. */
let rows = new Map()

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
  return { element: make('tr', {}, heading, ...Object.values(cells)), link, cells, revision: undefined }
}

function fillRow({ link, cells }, item) {
  link.href = `/items/${encodeURIComponent(item.part_number)}`
  link.textContent = item.part_number
  for (const name of ['description', 'item_type', 'updated_by']) cells[name].textContent = item[name]
  cells.revision.textContent = `${item.revision}`
  cells.updated_at.replaceChildren(makeTime(new Date(item.updated_at)))
}

/**
 * Shows these items in order. An item that was shown before retains its element, so that the focus in it is
 * not lost.
 */
function showRows(items, { fresh }) {
  const before = rows
  rows = new Map(items.map((item) => [item.id, before.get(item.id) ?? makeRow()]))
  for (const item of items) {
    const row = rows.get(item.id)
    if (row.revision === item.revision) continue
    fillRow(row, item)
    row.revision = item.revision
    row.element.classList.toggle('fresh', fresh)
  }
  for (const [id, { element }] of before) if (!rows.has(id)) element.remove()
  const focused = document.activeElement
  let place = body.firstChild
  for (const { element } of rows.values()) {
    if (element === place) place = place.nextSibling
    else body.insertBefore(element, place)
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true })
}

function countOf(count, { cursor }, hasMore) {
  if (count === 0) return ''
  const items = count === 1 ? 'one item' : `${count} items`
  if (!cursor && !hasMore) return items
  return cursor ? `${items} on this page` : `the first ${items}`
}

/** The cursors of the pages through which the user came to this one. */
const pagesBefore = () => history.state?.before ?? []

function showPaging({ cursor, ...search }, { items, next_cursor }) {
  const before = pagesBefore()
  const [previous, next] = [find('previous'), find('next')]
  previous.hidden = !cursor
  // Without such cursors, for example after opening a link to a later page, only the first page is known.
  previous.textContent = before.length > 0 ? 'Previous' : 'First page'
  previous.href = addressOf({ ...search, cursor: before.at(-1) ?? '' })
  next.hidden = next_cursor === null
  next.href = addressOf({ ...search, cursor: next_cursor ?? '' })
  setText(find('count'), countOf(items.length, { cursor }, next_cursor !== null))
  table.hidden = items.length === 0
  find('empty').hidden = items.length > 0
  const isFiltered = cursor || search.search || search.types.length > 0
  setText(find('empty'), isFiltered ? 'No item matches.' : 'There are no items yet.')
}

body.addEventListener('animationend', ({ target }) => target.classList.remove('fresh'))

// Reading.

/** The signal of the current list. It is aborted when another list is loaded. */
let shown

/**
 * Reads and shows the current page. It is not patched from events, because only the server can search and
 * sort it (docs/decisions/0010).
 */
async function readPage(signal, fresh) {
  const query = queryOf(wish())
  query.set('limit', PAGE)
  const page = await read(`/api/items?${query}`, signal)
  if (signal.aborted) return undefined
  showRows(page.items, { fresh })
  showPaging(wish(), page)
  table.setAttribute('aria-busy', 'false')
  find('problem').textContent = ''
  return page.event_cursor
}

const refresh = onDemand(async () => {
  const { signal } = shown
  try {
    await readPage(signal, true)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}, SPACING_MS)

const feed = new Feed({
  async load(signal) {
    shown = { signal }
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

/**
 * Shows the list that the address names. `revision.created` is not needed, because each comes with an
 * `item.updated`.
 */
function start() {
  table.setAttribute('aria-busy', 'true')
  feed.start(new URLSearchParams({ types: 'item.created,item.updated,item.deleted' }))
}

// Searching and paging.

function showForm({ search, types, sort }) {
  if (form.elements.search.value.trim() !== search) form.elements.search.value = search
  for (const box of form.elements.item_type) box.checked = types.includes(box.value)
  form.elements.sort.value = sort
}

function applyForm() {
  const address = addressOf(wishOf(`?${new URLSearchParams(new FormData(form))}`))
  if (address === location.pathname + location.search) return
  history.replaceState(null, '', address)
  start()
}

let typing
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
  showForm(wish())
  start()
})

function turnPage(event, before) {
  // With a modifier key, the browser opens the page in another tab or window.
  if (event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  history.pushState({ before }, '', event.target.href)
  start()
  scrollTo(0, 0)
  table.focus({ preventScroll: true })
}

find('next').addEventListener('click', (event) => turnPage(event, [...pagesBefore(), wish().cursor]))
find('previous').addEventListener('click', (event) => turnPage(event, pagesBefore().slice(0, -1)))

// Export, import and creation.

find('export').addEventListener('click', async () => {
  const button = find('export')
  button.disabled = true
  find('problem').textContent = ''
  try {
    const query = queryOf({ ...wish(), sort: SORTS[0], cursor: '' })
    const answer = await request('GET', `/api/items?${query}`, { headers: { accept: 'text/csv' } })
    const href = URL.createObjectURL(await answer.blob())
    make('a', { href, download: 'items.csv' }).click()
    setTimeout(() => URL.revokeObjectURL(href), REVOKE_MS)
  } catch (error) {
    find('problem').textContent = error instanceof TypeError ? 'The server can’t be reached.' : error.message
  } finally {
    button.disabled = false
  }
})

function showNews(...nodes) {
  find('news').replaceChildren(...nodes)
}

prepareImport((words) => showNews(words))
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

showForm(wish())
start()
prepare()

import { read } from './api.js'
import { Feed } from './feed.js'
import { showAccount, showStatus } from './header.js'
import { KINDS, Lines } from './lines.js'
import { find, make, makeTime } from './page.js'

/** Events that the panel starts with. */
const FIRST = 50
/** Lines that are kept in the document. */
const KEPT = 300
/** What comes together is shown together, in ms. Not by animation frames: a hidden tab has none. */
const BATCH_MS = 40
/** What is new is read out at most so often. */
const ANNOUNCE_MS = 5000

const LABELS = { created: 'Created', changed: 'Changed', archived: 'Archived' }

const list = find('lines')
const form = find('filter')
const pause = find('pause')

let lines = new Lines()
let pending = []
/** Lines that wait in `pending`. */
let waiting = 0
let paused = false
let batch
let unread = 0
const rows = new Map()

/** The filter as the address has it. */
const filterOf = (search) => {
  const given = new URLSearchParams(search)
  const kinds = given.getAll('kind').filter((kind) => kind in KINDS)
  return { kinds, part: given.get('part')?.trim() ?? '' }
}

function addressOf({ kinds, part }) {
  const query = new URLSearchParams(kinds.map((kind) => ['kind', kind]))
  if (part) query.set('part', part)
  return query.size > 0 ? `/?${query}` : '/'
}

function queryOf({ kinds, part }) {
  const query = new URLSearchParams()
  if (kinds.length > 0) query.set('types', kinds.flatMap((kind) => KINDS[kind]).join(','))
  if (part) query.set('part_number', part)
  return query
}

function makeRow({ kind, part_number, revision, description, comment, actor, at }) {
  const what = kind === 'changed' ? `Revision ${revision}` : LABELS[kind]
  const href = `/items/${encodeURIComponent(part_number)}`
  return make(
    'li',
    { className: `line ${kind}` },
    make('span', { className: 'kind' }, what),
    make('a', { className: 'number', href }, part_number),
    make(
      'span',
      { className: 'text' },
      description && make('span', { className: 'description' }, description),
      comment && make('q', { className: 'comment' }, comment),
    ),
    make('span', { className: 'who' }, actor),
    makeTime(at),
  )
}

function place(line, fresh) {
  const row = makeRow(line)
  const known = rows.get(line)
  rows.set(line, row)
  if (known) {
    row.classList.toggle('fresh', known.classList.contains('fresh'))
    return known.replaceWith(row)
  }
  row.classList.toggle('fresh', fresh)
  list.prepend(row)
}

function forgetOld() {
  lines.trim(KEPT)
  for (const [line, row] of rows) {
    if (lines.has(line)) continue
    row.remove()
    rows.delete(line)
  }
}

function render() {
  batch = undefined
  showPause()
  if (paused) return
  const touched = new Set(pending.map((event) => lines.add(event)))
  unread += waiting
  pending = []
  waiting = 0
  lines.trim(KEPT)
  for (const line of touched) if (lines.has(line)) place(line, true)
  forgetOld()
  showEmpty()
}

function receive(event) {
  pending.push(event)
  if (event.type !== 'revision.created') waiting += 1
  // Two events a line at most: what is older would leave the document in the moment it came.
  if (pending.length > 4 * KEPT) pending = pending.slice(-2 * KEPT)
  batch ??= setTimeout(render, BATCH_MS)
}

function showEmpty() {
  find('empty').hidden = lines.size > 0
}

function showPause() {
  const news = waiting > 0 ? ` · ${waiting} new` : ''
  pause.textContent = paused ? `Go on${news}` : 'Pause'
  pause.setAttribute('aria-pressed', String(paused))
}

async function load(signal) {
  const query = queryOf(filterOf(location.search))
  query.set('last', FIRST)
  const { events, next } = await read(`/api/events?${query}`, signal)
  lines = new Lines()
  pending = []
  waiting = 0
  rows.clear()
  list.replaceChildren()
  for (const line of new Set(events.map((event) => lines.add(event)))) place(line, false)
  find('problem').textContent = ''
  showPause()
  showEmpty()
  return next
}

const feed = new Feed({
  load,
  received: receive,
  changed: showStatus,
  refused(error) {
    find('problem').textContent = error.message
  },
})

function showFilter({ kinds, part }) {
  for (const box of form.elements.kind) box.checked = kinds.includes(box.value)
  form.elements.part.value = part
}

function start() {
  const filter = filterOf(location.search)
  feed.start(queryOf(filter))
}

function applyForm() {
  const address = addressOf(filterOf(new URLSearchParams(new FormData(form)).toString()))
  if (address === location.pathname + location.search) return
  history.replaceState(null, '', address)
  start()
}

let typing
form.addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(applyForm, 250)
})
form.addEventListener('submit', (event) => {
  event.preventDefault()
  applyForm()
})

pause.addEventListener('click', () => {
  paused = !paused
  render()
})

setInterval(() => {
  if (unread === 0) return
  find('announcement').textContent = unread === 1 ? 'One new change' : `${unread} new changes`
  unread = 0
}, ANNOUNCE_MS)

showFilter(filterOf(location.search))
showAccount()
start()

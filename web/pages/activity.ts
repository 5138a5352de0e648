import { Feed } from '../feed/feed.js'
import { type LogEvent, read } from '../parts/api.js'
import { Descriptions } from '../parts/item-descriptions.js'
import { find, findAll, findIn, make, makeTime, setText, textsOf } from '../parts/dom.js'
import { showAccount, showStatus } from '../parts/header.js'
import { keysOf } from '../parts/keys.js'
import { type Kind, type Line, Lines, lineOf, typesOf } from '../parts/event-lines.js'
import { Rate } from '../parts/rate.js'
import { VirtualList } from '../parts/virtual-list.js'

/** Number of lines that the panel starts with. */
const FIRST = 50
/** Maximum number of events that one line shows (parts/event-lines.ts). */
const EVENTS_A_LINE = 2
/** Maximum number of lines in memory. */
const KEPT = 10_000
/**
 * Events that arrive within this time are shown together, in ms. A timer, because a hidden tab gets no
 * animation frames.
 */
const BATCH_MS = 40
/** How long a new line is highlighted, in ms. */
const FRESH_MS = 2500
/** Minimum interval between announcements to screen readers, in ms. */
const ANNOUNCE_MS = 15_000

const LABELS: Record<Kind, string> = { created: 'Created', changed: 'Changed', archived: 'Archived' }
const KINDS = keysOf<Kind>(LABELS)

const form = find('filter', HTMLFormElement)
const partInput = findIn(form, '[name=part]', HTMLInputElement)
const pause = find('pause')
const above = find('above')

let lines = new Lines()
/** The lines that arrived while the panel is paused; undefined while it is not. */
let waiting: Lines | undefined
/** Events that arrived and are not yet shown. */
let pending: LogEvent[] = []
let batch: number | undefined
/** Number of lines that were added above the visible part of the list. */
let unseen = 0

const rate = new Rate(find('rate', SVGSVGElement), find('rate-figure'))
const list = new VirtualList<Line>(find('lines'), {
  count: () => lines.size,
  at: (index) => lines.newest(index),
  makeRow,
})
const descriptions = new Descriptions(
  (line) => list.shows(line),
  (line) => list.renew(line),
)

// The filter, which is in the address.

/** Only lines of these kinds, or of all if there is none, and of part numbers that match. */
interface Filter {
  kinds: Kind[]
  part: string
}

function filterOf(search: string): Filter {
  const params = new URLSearchParams(search)
  const kinds = params.getAll('kind').flatMap((name) => KINDS.find((kind) => kind === name) ?? [])
  return { kinds, part: params.get('part')?.trim() ?? '' }
}

function addressOf({ kinds, part }: Filter): string {
  const query = new URLSearchParams(kinds.map((kind) => ['kind', kind]))
  if (part) query.set('part', part)
  return query.size > 0 ? `/?${query.toString()}` : '/'
}

function queryOf({ kinds, part }: Filter): URLSearchParams {
  const query = new URLSearchParams()
  if (kinds.length > 0) query.set('types', kinds.flatMap(typesOf).join(','))
  if (part) query.set('part_number', part)
  return query
}

function showFilter({ kinds, part }: Filter): void {
  for (const box of findAll(form, '[name=kind]', HTMLInputElement)) {
    box.checked = kinds.some((kind) => kind === box.value)
  }
  partInput.value = part
}

// Rendering of lines.

function makeRow(line: Line): HTMLElement {
  const { kind, part_number, revision, description, comment, actor, at, cameAt } = line
  descriptions.want(line)
  const isFresh = cameAt !== undefined && Date.now() - cameAt < FRESH_MS
  return make(
    'li',
    { className: `line ${kind} ${isFresh ? 'fresh' : ''}` },
    make('span', { className: 'kind' }, LABELS[kind]),
    make('a', { className: 'number', href: `/items/${encodeURIComponent(part_number)}` }, part_number),
    make('span', { className: 'revision-number' }, revision !== undefined && `Rev. ${revision}`),
    make('span', { className: 'description', title: description ?? '' }, description),
    comment ? make('q', { className: 'comment', title: comment }, comment) : make('span'),
    make('span', { className: 'who', title: actor }, actor),
    makeTime(at),
  )
}

function receive(event: LogEvent): void {
  pending.push(event)
  batch ??= setTimeout(takePending, BATCH_MS)
}

/** Makes lines of the pending events: adds them to the list, or to `waiting` while the panel is paused. */
function takePending(): void {
  batch = undefined
  const now = Date.now()
  const before = lines.count
  const completed = new Set<Line>()
  for (const event of pending.splice(0)) {
    const line = { ...lineOf(event), cameAt: now }
    rate.count(line.at)
    const target = waiting && !lines.knows(line) ? waiting : lines
    const merged = target.add(line)
    if (merged !== line) completed.add(merged)
  }
  waiting?.trim(KEPT)
  showNew(lines.count - before)
  for (const line of completed) list.renew(line)
}

function showNew(added: number): void {
  lines.trim(KEPT)
  if (added > 0 && list.isLeft) unseen += added
  list.draw(added)
  rate.draw()
  showPause()
  showAbove()
  showEmpty()
  announce(added)
}

function showEmpty(): void {
  const { kinds, part } = filterOf(location.search)
  find('empty').hidden = lines.size > 0
  find('columns').hidden = lines.size === 0
  setText(
    find('empty'),
    kinds.length > 0 || part
      ? 'No changes match this filter yet.'
      : 'No changes yet. New changes appear here as they are made.',
  )
}

function showPause(): void {
  const news = waiting && waiting.count > 0 ? ` · ${waiting.count} new` : ''
  setText(pause, waiting ? `Resume${news}` : 'Pause')
  pause.setAttribute('aria-pressed', String(waiting !== undefined))
}

function showAbove(): void {
  if (!list.isLeft) unseen = 0
  above.hidden = unseen === 0
  setText(above, `↑ ${unseen} new`)
}

let unannounced = 0
let announcing: number | undefined

/**
 * Announces the number of new lines to screen readers, at most once in ANNOUNCE_MS: there are too many to
 * read each out.
 */
function announce(added: number): void {
  unannounced += added
  if (unannounced === 0 || announcing) return
  find('announcement').textContent = unannounced === 1 ? '1 new change' : `${unannounced} new changes`
  unannounced = 0
  announcing = setTimeout(() => {
    announcing = undefined
    announce(0)
  }, ANNOUNCE_MS)
}

// The feed.

/** Shows these events instead of all lines. `complete`: there are no earlier ones. */
function showLines(events: LogEvent[], complete: boolean): void {
  lines = new Lines()
  waiting = waiting && new Lines()
  pending = []
  const [oldest] = events
  rate.reset(complete || !oldest ? 0 : Date.parse(oldest.data.at))
  for (const event of events) {
    const line = lineOf(event)
    rate.count(line.at)
    lines.add(line)
  }
  lines.trim(FIRST)
  list.clear()
  showNew(0)
}

async function load(signal: AbortSignal): Promise<string> {
  const wanted = EVENTS_A_LINE * FIRST
  const query = queryOf(filterOf(location.search))
  query.set('last', String(wanted))
  const { events, next } = await read(`/api/events?${query.toString()}`, signal)
  const logged = events.filter((event) => event.type !== 'reset')
  showLines(logged, events.length < wanted)
  setText(find('problem'), '')
  return next
}

const feed = new Feed({
  load,
  received: receive,
  changed(status) {
    showStatus(status)
    const { watchers } = status
    setText(find('watchers'), watchers === undefined ? '' : `${watchers} connected`)
  },
  refused(error) {
    showLines([], true)
    setText(find('problem'), error.message)
  },
})

// User input.

function applyForm(): void {
  const filter = filterOf(new URLSearchParams(textsOf(form)).toString())
  const address = addressOf(filter)
  if (address === location.pathname + location.search) return
  history.replaceState(null, '', address)
  void feed.start(queryOf(filter))
}

let typing: number | undefined
form.addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(applyForm, 250)
})
form.addEventListener('submit', (event) => {
  event.preventDefault()
  applyForm()
})

pause.addEventListener('click', () => {
  takePending()
  const came = waiting
  waiting = came ? undefined : new Lines()
  const before = lines.count
  for (const line of came ?? []) lines.add(line)
  showNew(lines.count - before)
})

above.addEventListener('click', () => scrollTo({ top: 0 }))
addEventListener('scroll', showAbove, { passive: true })

showFilter(filterOf(location.search))
void showAccount()
void feed.start(queryOf(filterOf(location.search)))

import { read } from './api.js'
import { Feed } from './feed.js'
import { showAccount, showStatus } from './header.js'
import { find, make, makeTime } from './page.js'

const PAGE = 50
const RETRY_MS = 3000

const LABELS = {
  item_type: 'Type',
  description: 'Description',
  long_description: 'Details',
  sourcing_type: 'Sourcing',
}

const partNumber = decodeURIComponent(location.pathname.split('/')[2])
const address = `/api/items/${encodeURIComponent(partNumber)}`

let revisions = []
let nextCursor = null

/** A value as people read it. Of a property, anything that JSON can hold. */
function textOf(value) {
  if (value === undefined || value === null || value === '') return '–'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const row = (name, ...values) => make('div', {}, make('dt', {}, name), make('dd', {}, ...values))

const sameValue = (one, other) => JSON.stringify(one) === JSON.stringify(other)

/** What a revision changed, as `[name, before, after]`. */
function changesOf(revision, before) {
  const fields = Object.entries(LABELS).map(([field, label]) => [label, before[field], revision[field]])
  const names = new Set([...Object.keys(before.properties), ...Object.keys(revision.properties)])
  const properties = [...names].map((name) => [name, before.properties[name], revision.properties[name]])
  return [...fields, ...properties].filter(([, was, is]) => !sameValue(was, is))
}

function makeRevision(revision, before) {
  const { revision_number, comment, created_at, created_by } = revision
  const changes = before ? changesOf(revision, before) : []
  return make(
    'li',
    { className: 'revision' },
    make('h3', {}, `Revision ${revision_number}`),
    make('span', { className: 'who' }, created_by),
    makeTime(new Date(created_at)),
    comment && make('q', { className: 'comment' }, comment),
    changes.length > 0 &&
      make(
        'dl',
        { className: 'changes' },
        ...changes.map(([name, was, is]) =>
          row(name, make('del', {}, textOf(was)), ' → ', make('ins', {}, textOf(is))),
        ),
      ),
  )
}

function showRevisions() {
  find('revisions').replaceChildren(
    ...revisions.map((revision, index) => makeRevision(revision, revisions[index + 1])),
  )
  find('older').hidden = nextCursor === null
}

function showItem(newest, archived) {
  const created = revisions.find(({ revision_number }) => revision_number === 1)
  document.title = `${newest.part_number} · Silo`
  find('number').textContent = newest.part_number
  find('archived').hidden = !archived
  find('fields').replaceChildren(
    ...Object.entries(LABELS).map(([field, label]) => row(label, textOf(newest[field]))),
    row('Revision', String(newest.revision_number)),
    row('Changed', makeTime(new Date(newest.created_at)), ` by ${newest.created_by}`),
    ...(created ? [row('Created', makeTime(new Date(created.created_at)), ` by ${created.created_by}`)] : []),
  )
  const properties = Object.entries(newest.properties)
  find('properties').replaceChildren(...properties.map(([name, value]) => row(name, textOf(value))))
  find('no-properties').hidden = properties.length > 0
}

async function isArchived() {
  try {
    await read(address)
    return false
  } catch (error) {
    if (error.code === 'item_not_found') return true
    throw error
  }
}

async function readRevisions(cursor) {
  const query = new URLSearchParams({ limit: PAGE })
  if (cursor) query.set('cursor', cursor)
  return read(`${address}/revisions?${query}`)
}

/** The newest revision is the item; the item itself only says that it is not archived. */
async function show() {
  const [page, archived] = await Promise.all([readRevisions(), isArchived()])
  revisions = page.revisions
  nextCursor = page.next_cursor
  showItem(revisions[0], archived)
  showRevisions()
  find('problem').textContent = ''
  find('item').hidden = false
}

let showing
let again = false

/** Events that come while the item is being read lead to one more reading, not to one each. */
async function refresh() {
  again = true
  if (showing) return
  showing = true
  try {
    while (again) {
      again = false
      await show()
    }
  } catch (error) {
    find('problem').textContent = error.message
    if (error.code !== 'item_not_found') setTimeout(refresh, RETRY_MS)
  } finally {
    showing = false
  }
}

find('older').addEventListener('click', async () => {
  try {
    const page = await readRevisions(nextCursor)
    revisions = [...revisions, ...page.revisions]
    nextCursor = page.next_cursor
    showRevisions()
  } catch (error) {
    find('problem').textContent = error.message
  }
})

// The stream is open at its head before the item is read: whatever the reading misses comes as an event.
const feed = new Feed({
  load: async () => undefined,
  opened: refresh,
  received: refresh,
  changed: showStatus,
  refused(error) {
    find('problem').textContent = error.message
  },
})

document.title = `${partNumber} · Silo`
find('number').textContent = partNumber
showAccount()
feed.start(new URLSearchParams({ part_number: partNumber }))

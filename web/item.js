import { read, readTagged, request, write } from './api.js'
import { FIELDS, differencesOf, textOf } from './content.js'
import { makeDifferences } from './difference.js'
import { Edit } from './edit.js'
import { Feed } from './feed.js'
import { showAccount, showStatus } from './header.js'
import { find, make, makeTime, setText } from './page.js'
import { showPermission, showWritable } from './permission.js'
import { onDemand } from './refresh.js'

const PAGE = 50
/** Average minimum interval between reads of the item, in ms, however many events arrive. */
const SPACING_MS = 300

const partNumber = decodeURIComponent(location.pathname.split('/')[2])
const address = `/api/items/${encodeURIComponent(partNumber)}`

/** The revisions that were read: the newest first, without a gap. A revision never changes. */
let revisions = []
let nextCursor = null
/**
 * The current item, with its `etag` and its `newest` revision; undefined if it is archived, or not read yet.
 */
let current
let account
let edit

// Rendering.

const row = (name, ...values) =>
  make('div', {}, make('dt', {}, name || '(no name)'), make('dd', {}, ...values))

/** Replaces the entries of a list, and highlights the new ones for a moment. */
function showFacts(list, facts) {
  const before = new Set([...list.children].map(({ textContent }) => textContent))
  list.replaceChildren(...facts)
  if (before.size === 0) return
  for (const fact of facts) fact.classList.toggle('fresh', !before.has(fact.textContent))
}

function makeRevision(revision, before) {
  const { revision_number, comment, created_at, created_by } = revision
  const differences = before ? differencesOf(before, revision) : []
  return make(
    'li',
    { className: 'revision' },
    make('h3', {}, `Revision ${revision_number}`),
    make('span', { className: 'who' }, created_by),
    makeTime(new Date(created_at)),
    comment && make('q', { className: 'comment' }, comment),
    differences.length > 0 && makeDifferences(differences),
  )
}

function showRevisions(newSince) {
  // The oldest revision that was read is not shown yet if there are older ones: its changes are relative to
  // the one before it.
  const shown = nextCursor === null ? revisions : revisions.slice(0, -1)
  find('revisions').replaceChildren(
    ...shown.map((revision, index) => {
      const element = makeRevision(revision, revisions[index + 1])
      element.classList.toggle('fresh', revision.revision_number > newSince)
      return element
    }),
  )
  find('older').hidden = nextCursor === null
}

function showItem(newest) {
  const created = revisions.find(({ revision_number }) => revision_number === 1)
  document.title = `${newest.part_number} · Silo`
  for (const element of document.querySelectorAll('.number')) setText(element, newest.part_number)
  setText(find('lead'), newest.description)
  find('archived').hidden = find('archived-note').hidden = current !== undefined
  find('actions').hidden = current === undefined
  showFacts(find('fields'), [
    ...Object.entries(FIELDS).map(([field, label]) => row(label, textOf(newest[field]))),
    row('Revision', String(newest.revision_number)),
    row('Changed', makeTime(new Date(newest.created_at)), ` by ${newest.created_by}`),
    ...(created ? [row('Created', makeTime(new Date(created.created_at)), ` by ${created.created_by}`)] : []),
  ])
  const properties = Object.entries(newest.properties)
  showFacts(
    find('properties'),
    properties.map(([name, value]) => row(name, textOf(value))),
  )
  find('no-properties').hidden = properties.length > 0
  find('item').hidden = false
  find('problem').textContent = ''
}

// Reading.

async function readItem() {
  try {
    return await readTagged(await request('GET', address))
  } catch (error) {
    if (error.code === 'item_not_found') return undefined
    throw error
  }
}

function readRevisions(cursor) {
  const query = new URLSearchParams({ limit: PAGE })
  if (cursor) query.set('cursor', cursor)
  return read(`${address}/revisions?${query}`)
}

/**
 * Takes a page of the newest revisions. Retains the older ones that were read before, if there is no gap
 * between the two.
 */
function takeNewest(page) {
  const oldest = page.revisions.at(-1).revision_number
  if (revisions.some(({ revision_number }) => revision_number === oldest)) {
    revisions = [...page.revisions, ...revisions.filter(({ revision_number }) => revision_number < oldest)]
  } else {
    revisions = page.revisions
    nextCursor = page.next_cursor
  }
}

/** Reads and shows the item. If it is archived, shows its newest revision. */
async function show() {
  const newSince = revisions[0]?.revision_number ?? Infinity
  // The item is read first: if the revisions are newer, an event of that change arrives, and both are read
  // again.
  const item = await readItem()
  const page = await readRevisions()
  takeNewest(page)
  current = item && { ...item, newest: revisions[0] }
  showItem(revisions[0])
  showRevisions(newSince)
  if (current) edit?.itemChanged()
}

const refresh = onDemand(async () => {
  try {
    await show()
    await prepareEditing()
  } catch (error) {
    find('problem').textContent = error instanceof TypeError ? 'The server can’t be reached.' : error.message
    // If the item does not exist, there is nothing to retry: an event arrives when it is created.
    if (error.code !== 'item_not_found') throw error
  }
}, SPACING_MS)

find('older').addEventListener('click', async () => {
  try {
    const page = await readRevisions(nextCursor)
    revisions = [...revisions, ...page.revisions]
    nextCursor = page.next_cursor
    showRevisions(Infinity)
  } catch (error) {
    find('problem').textContent = error.message
  }
})

// Editing.

/** Enables editing, if the item is not archived and the user has the right to it. */
async function prepareEditing() {
  account ??= await showAccount()
  showPermission(account)
  if (edit || !current || account.role === 'viewer') return
  edit = new Edit(account, partNumber.toLowerCase(), {
    current: () => current,
    async read() {
      await show()
      if (!current)
        throw new Error('The item has been archived meanwhile. What you have typed can’t be saved.')
      return current
    },
    saved(item) {
      current = current && { ...current, ...item }
      setText(find('news'), `Saved as revision ${item.revision}.`)
    },
  })
}

find('edit').addEventListener('click', () => edit.open())

const archive = find('archive-dialog')
const archiveProblem = archive.querySelector('.problem')
let archived

find('archive').addEventListener('click', () => {
  archived = current
  archiveProblem.textContent = ''
  archive.showModal()
})

archive.querySelector('[data-cancel]').addEventListener('click', () => archive.close())

find('archive-form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const button = archive.querySelector('.danger')
  button.disabled = true
  try {
    await write('DELETE', address, undefined, { 'if-match': archived.etag })
    archive.close()
    find('heading').focus()
  } catch (error) {
    archiveProblem.textContent =
      error.code === 'revision_mismatch'
        ? `${error.message} Look at it before you archive it.`
        : error.message
  } finally {
    button.disabled = false
  }
})

const feed = new Feed({
  load: async () => undefined,
  opened: refresh,
  received: refresh,
  changed(status) {
    showStatus(status)
    showWritable(status)
  },
  refused(error) {
    find('problem').textContent = error.message
  },
})

document.title = `${partNumber} · Silo`
setText(find('number'), partNumber)
feed.start(new URLSearchParams({ part_number: partNumber }))

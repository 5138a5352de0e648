import { Feed } from '../feed/feed.js'
import {
  type Account,
  type Revision,
  type RevisionPage,
  type TaggedItem,
  codeOf,
  messageOf,
  read,
  readTagged,
  request,
  send,
} from '../parts/api.js'
import { FIELDS, FIELD_NAMES, differencesOf, textOf } from '../parts/content.js'
import { makeDifferences } from '../parts/difference.js'
import { type Child, find, findAll, findIn, make, makeTime, setText } from '../parts/dom.js'
import { type CurrentItem, Edit } from '../parts/edit.js'
import { showAccount, showStatus } from '../parts/header.js'
import { showPermission, showWritable } from '../parts/permission.js'
import { onDemand } from '../parts/refresh.js'

const PAGE = 50
/** Average minimum interval between reads of the item, in ms, however many events arrive. */
const SPACING_MS = 300

const partNumber = decodeURIComponent(location.pathname.split('/')[2] ?? '')
const address = `/api/items/${encodeURIComponent(partNumber)}` as const

/** The revisions that were read: the newest first, without a gap. A revision never changes. */
let revisions: Revision[] = []
let nextCursor: string | null = null
/** The current item; undefined if it is archived, or not read yet. */
let current: CurrentItem | undefined
let account: Account | undefined
let edit: Edit | undefined

// Rendering.

const row = (name: string, ...values: Child[]) =>
  make('div', {}, make('dt', {}, name || '(no name)'), make('dd', {}, ...values))

/** Replaces the entries of a list, and highlights the new ones for a moment. */
function showFacts(list: HTMLElement, facts: HTMLElement[]): void {
  const before = new Set([...list.children].map(({ textContent }) => textContent))
  list.replaceChildren(...facts)
  if (before.size === 0) return
  for (const fact of facts) fact.classList.toggle('fresh', !before.has(fact.textContent))
}

function makeRevision(revision: Revision, before: Revision | undefined): HTMLElement {
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

function showRevisions(newSince: number): void {
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

function showItem(newest: Revision): void {
  const created = revisions.find(({ revision_number }) => revision_number === 1)
  document.title = `${newest.part_number} · Silo`
  for (const element of findAll(document, '.number', HTMLElement)) setText(element, newest.part_number)
  setText(find('lead'), newest.description)
  find('archived').hidden = find('archived-note').hidden = current !== undefined
  find('actions').hidden = current === undefined
  showFacts(find('fields'), [
    ...FIELD_NAMES.map((name) => row(FIELDS[name], textOf(newest[name]))),
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

async function readItem(): Promise<TaggedItem | undefined> {
  try {
    return await readTagged(await request('GET', address))
  } catch (error) {
    if (codeOf(error) === 'item_not_found') return undefined
    throw error
  }
}

function readRevisions(cursor?: string | null): Promise<RevisionPage> {
  const query = new URLSearchParams({ limit: String(PAGE) })
  if (cursor) query.set('cursor', cursor)
  return read(`${address}/revisions?${query.toString()}`)
}

/**
 * Takes a page of the newest revisions. Retains the older ones that were read before, if there is no gap
 * between the two.
 */
function takeNewest(page: RevisionPage): void {
  const oldest = page.revisions.at(-1)?.revision_number ?? 0
  if (revisions.some(({ revision_number }) => revision_number === oldest)) {
    revisions = [...page.revisions, ...revisions.filter(({ revision_number }) => revision_number < oldest)]
  } else {
    revisions = page.revisions
    nextCursor = page.next_cursor
  }
}

/** Reads and shows the item. If it is archived, shows its newest revision. */
async function show(): Promise<void> {
  const newSince = revisions[0]?.revision_number ?? Infinity
  // The item is read first: if the revisions are newer, an event of that change arrives, and both are read
  // again.
  const item = await readItem()
  const page = await readRevisions()
  takeNewest(page)
  const [newest] = revisions
  if (!newest) return
  current = item && { ...item, newest }
  showItem(newest)
  showRevisions(newSince)
  if (current) edit?.itemChanged()
}

const refresh = onDemand(async () => {
  try {
    await show()
    await prepareEditing()
  } catch (error) {
    find('problem').textContent =
      error instanceof TypeError ? 'Can’t reach the server. Trying again…' : messageOf(error)
    // If the item does not exist, there is nothing to retry: an event arrives when it is created.
    if (codeOf(error) !== 'item_not_found') throw error
  }
}, SPACING_MS)

find('older').addEventListener('click', async () => {
  try {
    const page = await readRevisions(nextCursor)
    revisions = [...revisions, ...page.revisions]
    nextCursor = page.next_cursor
    showRevisions(Infinity)
  } catch (error) {
    find('problem').textContent = messageOf(error)
  }
})

// Editing.

/**
 * Returns the current item.
 * @throws {Error} if it is archived
 */
function currentItem(): CurrentItem {
  if (!current) throw new Error('This item has been archived. Your changes can’t be saved.')
  return current
}

/** Enables editing, if the item is not archived and the user has the right to it. */
async function prepareEditing(): Promise<void> {
  account ??= await showAccount()
  showPermission(account)
  if (edit || !current || account.role === 'viewer') return
  edit = new Edit(account, partNumber.toLowerCase(), {
    current: currentItem,
    async read() {
      await show()
      return currentItem()
    },
    saved(item) {
      current = current && { ...current, ...item }
      setText(find('news'), `Saved as revision ${item.revision}.`)
    },
  })
}

find('edit').addEventListener('click', () => edit?.open())

const archive = find('archive-dialog', HTMLDialogElement)
const archiveProblem = findIn(archive, '.problem')
/** The item that the open dialog archives. */
let archived: TaggedItem | undefined

find('archive').addEventListener('click', () => {
  archived = current
  archiveProblem.textContent = ''
  archive.showModal()
})

findIn(archive, '[data-cancel]').addEventListener('click', () => archive.close())

find('archive-form').addEventListener('submit', async (event) => {
  event.preventDefault()
  if (!archived) return
  const button = findIn(archive, '.danger', HTMLButtonElement)
  button.disabled = true
  try {
    await send('DELETE', address, undefined, { 'if-match': archived.etag })
    archive.close()
    find('heading').focus()
  } catch (error) {
    archiveProblem.textContent =
      codeOf(error) === 'revision_mismatch'
        ? `${messageOf(error)} Review it before you archive it.`
        : messageOf(error)
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
void feed.start(new URLSearchParams({ part_number: partNumber }))

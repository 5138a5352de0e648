import {
  type Account,
  type Content,
  type Revision,
  type TaggedItem,
  codeOf,
  messageOf,
  readTagged,
  send,
} from './api.js'
import { type Conflict, changesTo, conflictsOf, merge } from './content.js'
import { nodesOf } from './difference.js'
import { Draft } from './draft.js'
import { type Child, find, findAll, findIn, make, setText } from './dom.js'
import { ItemForm, type Typed } from './item-form.js'

const dialog = find('edit-dialog', HTMLDialogElement)
const element = find('edit-form', HTMLFormElement)
const form = new ItemForm(element)
const conflictForm = find('conflict-form', HTMLFormElement)
const problem = findIn(conflictForm, '.problem')
const chooseAll = findIn(conflictForm, '.choose-all')

/** An item, with its newest revision. */
export type CurrentItem = TaggedItem & { newest: Revision }

/** The callbacks of the page of an item. */
export interface EditPage {
  /** Returns the current item. */
  current: () => CurrentItem
  /** Reads the item again. */
  read: () => Promise<CurrentItem>
  /** Receives the saved item, so that the next edit is based on it. */
  saved: (item: TaggedItem) => void
}

/** The input of the dialog that is stored. */
interface Stored {
  /** Whether the dialog is open. */
  open: boolean
  base: TaggedItem
  typed: Typed
}

const isEmpty = (changes: object) => Object.keys(changes).length === 0

/** Describes the newer revision that another user has saved: its author and comment. */
const describeRevision = ({ revision_number, created_by, comment }: Revision) =>
  `${created_by} saved revision ${revision_number}${comment ? `: “${comment}”` : ''}.`

function makeChoice({ label, theirs, mine, choice }: Conflict, index: number): HTMLElement {
  const [theirNodes, myNodes] = nodesOf(theirs, mine)
  const side = (value: 'theirs' | 'mine', title: string, nodes: Child[]) =>
    make(
      'label',
      {},
      make('input', {
        type: 'radio',
        name: `choice-${index}`,
        value,
        required: true,
        checked: choice === value,
      }),
      make('span', { className: 'side' }, title),
      make('span', { className: 'value' }, ...nodes),
    )
  return make(
    'fieldset',
    { className: 'choice' },
    make('legend', {}, label || '(no name)'),
    side('theirs', 'Theirs', theirNodes),
    side('mine', 'Mine', myNodes),
  )
}

/** A newer version of the item that another user has saved, and the content that this user wants to save. */
interface Comparison {
  theirs: TaggedItem
  mine: Content
  /** The differences between the newer version and `mine`. */
  conflicts: Conflict[]
}

/**
 * The dialog that changes an item. If another user has saved a newer revision, it compares both versions and
 * saves the values that the user chooses. The input is stored as a draft until it is saved or dismissed.
 */
export class Edit {
  readonly #on: EditPage
  readonly #draft: Draft<Stored>
  /** The item on which the edit is based. Undefined while there is no edit. */
  #base: TaggedItem | undefined
  /** The comparison with a newer version. Undefined while there is none. */
  #comparison: Comparison | undefined

  constructor({ username }: Account, subject: string, on: EditPage) {
    this.#on = on
    this.#draft = new Draft(username, subject)
    element.addEventListener('input', () => this.#keep(true))
    element.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#saveForm()
    })
    findIn(element, '[data-cancel]').addEventListener('click', () => this.#end())
    find('compare').addEventListener('click', async () => {
      try {
        if (this.#base) await this.#compare(this.#base, form.read())
      } catch (error) {
        form.refuse(error)
      }
    })
    // Escape is often pressed by mistake, so it keeps the draft: the dialog shows it when it is opened again.
    dialog.addEventListener('cancel', () => this.#keep(false))
    conflictForm.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#saveChosen()
    })
    chooseAll.addEventListener('click', ({ target }) => {
      const side = target instanceof HTMLButtonElement ? target.value : undefined
      for (const radio of findAll(conflictForm, '[type=radio]', HTMLInputElement)) {
        if (radio.value === side) radio.checked = true
      }
    })
    find('back-to-form').addEventListener('click', () => this.#showForm())
    if (this.#draft.read()?.open) this.open()
  }

  open(): void {
    const { base, typed } = this.#draft.read() ?? {}
    this.#base = base ?? this.#on.current()
    form.show(this.#base, typed)
    this.#showForm()
    this.itemChanged()
    dialog.showModal()
  }

  /** Shows a notice if another user has saved a newer revision than the one that is being edited. */
  itemChanged(): void {
    if (!this.#base) return
    const { revision, newest } = this.#on.current()
    const overtaken = revision > this.#base.revision
    find('overtaken').hidden = !overtaken
    if (overtaken) setText(findIn(find('overtaken'), 'span'), describeRevision(newest))
  }

  #keep(open: boolean): void {
    if (this.#base) this.#draft.keep({ open, base: this.#base, typed: form.typed })
  }

  #end(): void {
    this.#draft.forget()
    this.#base = undefined
    dialog.close()
  }

  #showForm(): void {
    conflictForm.hidden = true
    element.hidden = false
    findIn(element, '[name=description]').focus()
  }

  /**
   * Saves the content that `read` returns as a change of the item `from`. If the item has changed since,
   * compares both versions. `refuse` shows an error.
   */
  async #save(
    submitted: HTMLFormElement,
    from: TaggedItem,
    read: () => Content,
    refuse: (error: unknown) => void,
  ): Promise<void> {
    const submit = findIn(submitted, '.primary', HTMLButtonElement)
    submit.disabled = true
    try {
      const content = read()
      try {
        await this.#send(from, content)
      } catch (error) {
        if (codeOf(error) !== 'revision_mismatch') throw error
        await this.#compare(from, content)
      }
    } catch (error) {
      refuse(error)
    } finally {
      submit.disabled = false
    }
  }

  async #send(from: TaggedItem, content: Content): Promise<void> {
    const changes = changesTo(from, content)
    // Only values of the other version were chosen: there is nothing to save.
    if (isEmpty(changes)) return this.#end()
    const body = form.comment ? { ...changes, comment: form.comment } : changes
    const address = `/api/items/${encodeURIComponent(from.part_number)}`
    const item = await readTagged(await send('PUT', address, body, { 'if-match': from.etag }))
    this.#end()
    this.#on.saved(item)
  }

  async #saveForm(): Promise<void> {
    const base = this.#base
    if (!base) return
    const read = () => {
      const content = form.read()
      if (isEmpty(changesTo(base, content))) throw new Error('There are no changes to save.')
      return content
    }
    await this.#save(element, base, read, (error) => form.refuse(error))
  }

  // Conflicts.

  /** Reads the newest version of the item and compares it with `mine`. Both are made from `before`. */
  async #compare(before: Content, mine: Content): Promise<void> {
    const theirs = await this.#on.read()
    const conflicts = conflictsOf(before, theirs, mine)
    this.#comparison = { theirs, mine, conflicts }
    const what =
      conflicts.length === 0 ? 'It already has all of your changes.' : 'Choose which values to save.'
    find('conflict-who').textContent = `${describeRevision(theirs.newest)} ${what}`
    find('conflicts').replaceChildren(...conflicts.map(makeChoice))
    chooseAll.hidden = conflicts.length === 0
    problem.textContent = ''
    element.hidden = true
    conflictForm.hidden = false
    find('conflict-title').focus()
  }

  async #saveChosen(): Promise<void> {
    if (!this.#comparison) return
    const { theirs, mine, conflicts } = this.#comparison
    const read = () => {
      const chosen = new FormData(conflictForm)
      const kept = conflicts.filter((_, index) => chosen.get(`choice-${index}`) === 'mine')
      const keys = new Set(kept.map(({ key }) => key))
      return merge(theirs, mine, (key) => keys.has(key))
    }
    await this.#save(conflictForm, theirs, read, (error) => {
      problem.textContent = messageOf(error)
    })
  }
}

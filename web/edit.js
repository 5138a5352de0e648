import { readTagged, send } from './api.js'
import { changesTo, conflictsOf, merge } from './content.js'
import { nodesOf } from './difference.js'
import { Draft } from './draft.js'
import { ItemForm } from './item-form.js'
import { find, make, setText } from './page.js'

const dialog = find('edit-dialog')
const element = find('edit-form')
const form = new ItemForm(element)
const conflictForm = find('conflict-form')
const problem = conflictForm.querySelector('.problem')

const isEmpty = (changes) => Object.keys(changes).length === 0

/** Describes the newer revision that another user has saved: its author and comment. */
const sayWho = ({ revision_number, created_by, comment }) =>
  `${created_by} has saved revision ${revision_number} meanwhile${comment ? `: “${comment}”` : ''}.`

function makeChoice({ label, theirs, mine, choice }, index) {
  const [theirNodes, myNodes] = nodesOf(theirs, mine)
  const side = (value, title, nodes) =>
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

/**
 * The dialog that changes an item. If another user has saved a newer revision, it compares both versions and
 * saves what the user chooses of each. The input is stored as a draft until it is saved or dismissed.
 */
export class Edit {
  #on
  #draft
  /** The item on which the edit is based, with its `etag`. Undefined while there is no edit. */
  #base
  /** The newer version that another user has saved, with its `etag`. */
  #theirs
  /** The content that the user wants to save. */
  #mine
  /** The differences between `#theirs` and `#mine` (`conflictsOf`). */
  #conflicts

  /**
   * `on` has these callbacks:
   *
   * - `current()` returns the current item, with its `etag` and its newest revision as `newest`.
   * - `read()` reads the item again, and returns it in the same form.
   * - `saved(item)` receives the saved item, with its `etag`, so that the next edit is based on it.
   */
  constructor({ username }, subject, on) {
    this.#on = on
    this.#draft = new Draft(username, subject)
    element.addEventListener('input', () => this.#keep(true))
    element.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#saveForm()
    })
    element.querySelector('[data-cancel]').addEventListener('click', () => this.#end())
    find('compare').addEventListener('click', async () => {
      try {
        await this.#compare(this.#base, form.read())
      } catch (error) {
        form.refuse(error)
      }
    })
    // Escape is often pressed by mistake, so it keeps the draft: the dialog shows it when it is opened again.
    dialog.addEventListener('cancel', () => this.#keep(false))
    conflictForm.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#saveChosen()
    })
    conflictForm.querySelector('.choose-all').addEventListener('click', ({ target }) => {
      for (const radio of conflictForm.querySelectorAll('[type=radio]')) {
        if (radio.value === target.value) radio.checked = true
      }
    })
    find('back-to-form').addEventListener('click', () => this.#showForm())
    if (this.#draft.read()?.open) this.open()
  }

  open() {
    const { base, typed } = this.#draft.read() ?? {}
    this.#base = base ?? this.#on.current()
    form.show(this.#base, typed)
    this.#showForm()
    this.itemChanged()
    dialog.showModal()
  }

  /** Shows a notice if another user has saved a newer revision than the one that is being edited. */
  itemChanged() {
    if (!this.#base) return
    const { revision, newest } = this.#on.current()
    const overtaken = revision > this.#base.revision
    find('overtaken').hidden = !overtaken
    if (overtaken) setText(find('overtaken').firstElementChild, sayWho(newest))
  }

  #keep(open) {
    this.#draft.keep({ open, base: this.#base, typed: form.typed })
  }

  #end() {
    this.#draft.forget()
    this.#base = undefined
    dialog.close()
  }

  #showForm() {
    conflictForm.hidden = true
    element.hidden = false
    element.elements.description.focus()
  }

  /**
   * Saves the content that `read` returns as a change of the item `from`. If the item has changed since,
   * compares both versions. `asked` is the submitted form; `refuse` shows an error.
   */
  async #save(asked, from, read, refuse) {
    const submit = asked.querySelector('.primary')
    submit.disabled = true
    try {
      const content = read()
      try {
        await this.#send(from, content)
      } catch (error) {
        if (error.code !== 'revision_mismatch') throw error
        await this.#compare(from, content)
      }
    } catch (error) {
      refuse(error)
    } finally {
      submit.disabled = false
    }
  }

  async #send(from, content) {
    const changes = changesTo(from, content)
    // Only values of the other version were chosen: there is nothing to save.
    if (isEmpty(changes)) return this.#end()
    if (form.comment) changes.comment = form.comment
    const address = `/api/items/${encodeURIComponent(from.part_number)}`
    const item = await readTagged(await send('PUT', address, changes, { 'if-match': from.etag }))
    this.#end()
    this.#on.saved(item)
  }

  #saveForm() {
    const read = () => {
      const content = form.read()
      if (isEmpty(changesTo(this.#base, content))) throw new Error('Nothing has been changed yet.')
      return content
    }
    return this.#save(element, this.#base, read, (error) => form.refuse(error))
  }

  // Conflicts.

  /** Reads the newest version of the item and compares it with `mine`. Both are made from `before`. */
  async #compare(before, mine) {
    this.#theirs = await this.#on.read()
    this.#mine = mine
    this.#conflicts = conflictsOf(before, this.#theirs, mine)
    const what =
      this.#conflicts.length === 0
        ? 'It says all that you want to save.'
        : 'Choose what is to be saved where it differs from yours.'
    find('conflict-who').textContent = `${sayWho(this.#theirs.newest)} ${what}`
    find('conflicts').replaceChildren(...this.#conflicts.map(makeChoice))
    conflictForm.querySelector('.choose-all').hidden = this.#conflicts.length === 0
    problem.textContent = ''
    element.hidden = true
    conflictForm.hidden = false
    find('conflict-title').focus()
  }

  #saveChosen() {
    const read = () => {
      const chosen = new FormData(conflictForm)
      const mine = this.#conflicts.filter((_, index) => chosen.get(`choice-${index}`) === 'mine')
      const keys = new Set(mine.map(({ key }) => key))
      return merge(this.#theirs, this.#mine, (key) => keys.has(key))
    }
    return this.#save(conflictForm, this.#theirs, read, (error) => {
      problem.textContent = error.message
    })
  }
}

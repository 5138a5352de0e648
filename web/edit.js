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

/** Who has overtaken us, and why they say they did. */
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
 * The dialog that changes an item. Where somebody else has saved first, it shows theirs against ours, and saves what is
 * chosen of both. What is typed outlives the page until it is saved or dismissed.
 */
export class Edit {
  #on
  #draft
  /** What is being changed, as it was: an item with its `etag`. */
  #base
  /** What somebody else has made of it: an item with its `etag`. */
  #theirs
  /** What is to be saved instead, and where it differs from theirs. */
  #mine
  #conflicts

  /**
   * - `current()`: the item as it is now, with its `etag` and its newest revision as `newest`.
   * - `read()`: reads it anew, and returns that.
   * - `saved(item)`: takes the item as it was saved, with its `etag`, so that the next edit begins with it.
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
    // Escape, which is pressed by mistake: what was typed is there again when the dialog is.
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

  /** Tells whoever is typing that they have been overtaken. */
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

  /** Saves what `read` gives over `from`, an item; where that has moved on meanwhile, shows both. */
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
    // All of theirs was chosen: there is nothing left to save.
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

  // Somebody else saved first.

  /** Shows `mine`, made from `before`, against what somebody else has made of it. */
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

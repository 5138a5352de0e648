import { write } from './api.js'
import { EMPTY, changesTo } from './content.js'
import { Draft } from './draft.js'
import { ItemForm } from './item-form.js'
import { find } from './page.js'

const dialog = find('create-dialog')
const element = find('create-form')
const form = new ItemForm(element)

function showNumbering() {
  for (const name of ['part_number', 'category']) {
    const chosen = element.elements.numbering.value === name
    element.elements[name].hidden = element.elements[name].disabled = !chosen
  }
}

/** The dialog that makes an item. What is typed outlives the page until it is saved or dismissed. */
export class Create {
  #draft
  #created

  /** `created` gets the item that was made. */
  constructor({ username }, created) {
    this.#draft = new Draft(username, 'a new item')
    this.#created = created
    element.addEventListener('input', () => {
      showNumbering()
      this.#keep(true)
    })
    element.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#save()
    })
    element.querySelector('[data-cancel]').addEventListener('click', () => {
      this.#draft.forget()
      dialog.close()
    })
    // Escape, which is pressed by mistake: what was typed is there again when the dialog is.
    dialog.addEventListener('cancel', () => this.#keep(false))
    if (this.#draft.read()?.open) this.open()
  }

  open() {
    form.show(EMPTY, this.#draft.read()?.typed)
    showNumbering()
    dialog.showModal()
  }

  #keep(open) {
    this.#draft.keep({ open, typed: form.typed })
  }

  async #save() {
    const { numbering } = element.elements
    const number = { [numbering.value]: element.elements[numbering.value].value.trim() }
    const submit = element.querySelector('.primary')
    submit.disabled = true
    try {
      const content = changesTo(EMPTY, form.read())
      const item = await write('POST', '/api/items', {
        ...number,
        ...content,
        ...(form.comment && { comment: form.comment }),
      })
      this.#draft.forget()
      dialog.close()
      this.#created(item)
    } catch (error) {
      form.refuse(error)
    } finally {
      submit.disabled = false
    }
  }
}

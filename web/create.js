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

/** The dialog that creates an item. The input is stored as a draft until it is saved or dismissed. */
export class Create {
  #draft
  #created

  /** @param created callback that receives the new item */
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
    // Escape is often pressed by mistake, so it keeps the draft: the dialog shows it when it is opened again.
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

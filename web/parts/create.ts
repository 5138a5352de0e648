import { type Account, type Item, readTagged, send } from './api.js'
import { EMPTY, changesTo } from './content.js'
import { Draft } from './draft.js'
import { find, findIn, textIn } from './dom.js'
import { ItemForm, type Typed } from './item-form.js'

const dialog = find('create-dialog', HTMLDialogElement)
const element = find('create-form', HTMLFormElement)
const form = new ItemForm(element)

/** The input of the dialog that is stored. */
interface Stored {
  /** Whether the dialog is open. */
  open: boolean
  typed: Typed
}

/** Returns which of the two inputs of the number is used: the one of the part number or of the category. */
const numberingOf = () => textIn(element, 'numbering')

function showNumbering(): void {
  for (const name of ['part_number', 'category']) {
    const input = find(name, HTMLInputElement)
    input.hidden = input.disabled = numberingOf() !== name
  }
}

/** The dialog that creates an item. The input is stored as a draft until it is saved or dismissed. */
export class Create {
  readonly #draft: Draft<Stored>
  readonly #created: (item: Item) => void

  /** @param created callback that receives the new item */
  constructor({ username }: Account, created: (item: Item) => void) {
    this.#draft = new Draft(username, 'a new item')
    this.#created = created
    element.addEventListener('input', () => {
      showNumbering()
      this.#keep(true)
    })
    element.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#save()
    })
    findIn(element, '[data-cancel]').addEventListener('click', () => {
      this.#draft.forget()
      dialog.close()
    })
    // Escape is often pressed by mistake, so it keeps the draft: the dialog shows it when it is opened again.
    dialog.addEventListener('cancel', () => this.#keep(false))
    if (this.#draft.read()?.open) this.open()
  }

  open(): void {
    form.show(EMPTY, this.#draft.read()?.typed)
    showNumbering()
    dialog.showModal()
  }

  #keep(open: boolean): void {
    this.#draft.keep({ open, typed: form.typed })
  }

  async #save(): Promise<void> {
    const numbering = numberingOf()
    const number = { [numbering]: textIn(element, numbering).trim() }
    const submit = findIn(element, '.primary', HTMLButtonElement)
    submit.disabled = true
    try {
      const content = changesTo(EMPTY, form.read())
      const response = await send('POST', '/api/items', {
        ...number,
        ...content,
        ...(form.comment && { comment: form.comment }),
      })
      const item = await readTagged(response)
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

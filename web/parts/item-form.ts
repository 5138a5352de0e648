import type { ErrorDetail } from '../../errors.js'
import { ApiError, type Content, messageOf } from './api.js'
import { EMPTY, FIELDS, FIELD_NAMES, type Field, ITEM_TYPES, SOURCING_TYPES } from './content.js'
import { type Control, findIn, isControl, make, setTextIn, textIn, textsOf } from './dom.js'
import { isExact, parse, stringify } from './json.js'

const KINDS = { text: 'Text', number: 'Number', json: 'JSON' }

/** The input of the form, valid or not. */
export interface Typed {
  /** The texts of the controls by name, without those of the properties. */
  fields: Record<string, string>
  properties: TypedProperty[]
}

type TypedProperty = [name: string, kind: string, text: string]

/** The controls of a property. */
interface PropertyRow {
  name: HTMLInputElement
  kind: HTMLSelectElement
  text: HTMLTextAreaElement
}

/** An invalid field, and the control that contains it. */
interface Fault extends ErrorDetail {
  control: Control
}

const kindOf = (value: unknown): keyof typeof KINDS =>
  typeof value === 'number' || isExact(value) ? 'number' : typeof value === 'string' ? 'text' : 'json'

/** Returns the text of a value in a text area, which normalizes all line breaks to `\n`. */
const shownAs = (value: unknown): string =>
  (typeof value === 'string' && !isExact(value) ? value : stringify(value)).replaceAll(/\r\n?/g, '\n')

/**
 * Returns the name in an input. An input removes line breaks, so an unchanged name is taken from its default
 * value.
 */
const nameOf = ({ value, defaultValue }: HTMLInputElement): string =>
  value === defaultValue.replaceAll(/[\r\n]/g, '') ? defaultValue : value

/** The syntax of a number in JSON. The API checks whether it can store the number. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/

function readAs(kind: string, text: string): unknown {
  if (kind === 'text') return text
  if (kind === 'number') {
    if (!NUMBER.test(text.trim())) throw new Error('must be a number, like 1.5')
    return parse(text.trim())
  }
  try {
    return parse(text)
  } catch {
    throw new Error('must be JSON, like true, [1, 2] or {"a": 1}; for plain text, choose Text')
  }
}

/**
 * Thrown for invalid input that the form itself detects.
 */
class InvalidInput extends Error {
  readonly faults: Fault[]

  constructor(faults: Fault[]) {
    super(faults.map(({ field, message }) => `${field} ${message}`).join('; '))
    this.faults = faults
  }
}

const makeOptions = (names: string[]) =>
  names.map((name) => make('option', { value: name }, name || 'not specified'))

const makeField = (label: string, control: Control) =>
  make(
    'label',
    { className: control.matches('select') ? 'field half' : 'field' },
    make('span', {}, label),
    control,
  )

function makeControls(): Record<Field, Control> {
  return {
    description: make('textarea', { name: 'description', rows: 1 }),
    item_type: make('select', { name: 'item_type' }, ...makeOptions(ITEM_TYPES)),
    sourcing_type: make('select', { name: 'sourcing_type' }, ...makeOptions(['', ...SOURCING_TYPES])),
    long_description: make('textarea', { name: 'long_description', rows: 2 }),
  }
}

const unseen = (text: string) => make('span', { className: 'unseen' }, text)

/**
 * The form for an item's content and a comment. Its controls are appended to the `.fields` of `form`, which
 * may have others; errors are shown in its `.problem`. A value that the user does not change is returned
 * exactly as it was, line breaks included.
 */
export class ItemForm {
  readonly #form: HTMLFormElement
  readonly #problem: HTMLElement
  readonly #controls = makeControls()
  readonly #addButton = make('button', { type: 'button' }, 'Add property')
  readonly #rows = make('div', { className: 'property-rows' })
  #base = EMPTY

  constructor(form: HTMLFormElement) {
    this.#form = form
    this.#problem = findIn(form, '.problem')
    this.#addButton.addEventListener('click', () => findIn(this.#addRow(), 'input').focus())
    findIn(form, '.fields').append(
      ...FIELD_NAMES.map((name) => makeField(FIELDS[name], this.#controls[name])),
      make(
        'fieldset',
        { className: 'properties' },
        make('legend', {}, 'Properties'),
        this.#rows,
        this.#addButton,
      ),
      makeField('Comment', make('input', { name: 'comment', autocomplete: 'off' })),
    )
    form.addEventListener('input', ({ target }) => {
      if (target instanceof Element) target.removeAttribute('aria-invalid')
    })
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit()
    })
  }

  /** Shows `content`, overlaid with the input of a draft (`typed`), if there is one. */
  show(content: Content, typed?: Typed): void {
    this.#base = content
    this.#form.reset()
    this.#problem.textContent = ''
    for (const element of this.#form.elements) element.removeAttribute('aria-invalid')
    for (const name of FIELD_NAMES) this.#controls[name].value = content[name] ?? ''
    for (const [name, text] of Object.entries(typed?.fields ?? {})) setTextIn(this.#form, name, text)
    const rows = Object.entries(content.properties).map(([name, value]): TypedProperty => [
      name,
      kindOf(value),
      shownAs(value),
    ])
    this.#rows.replaceChildren()
    for (const row of typed?.properties ?? rows) this.#addRow(...row)
  }

  /** The current input, valid or not, for a draft: `show` restores it. */
  get typed(): Typed {
    return {
      fields: Object.fromEntries(textsOf(this.#form)),
      properties: this.#propertyRows().map(({ name, kind, text }) => [nameOf(name), kind.value, text.value]),
    }
  }

  get comment(): string {
    return textIn(this.#form, 'comment').trim()
  }

  /**
   * Returns the content.
   * @throws {InvalidInput} if the input is not valid; `refuse` shows it
   */
  read(): Content {
    const { item_type, sourcing_type } = this.#controls
    return {
      description: this.#readText('description'),
      item_type: ITEM_TYPES.find((type) => type === item_type.value) ?? this.#base.item_type,
      sourcing_type: SOURCING_TYPES.find((type) => type === sourcing_type.value) ?? null,
      long_description: this.#readText('long_description'),
      properties: this.#readProperties(),
    }
  }

  #readText(name: 'description' | 'long_description'): string {
    const { value } = this.#controls[name]
    const before = this.#base[name]
    return value === shownAs(before) ? before : value
  }

  #readProperties(): Record<string, unknown> {
    const faults: Fault[] = []
    const properties = new Map<string, unknown>()
    for (const { name: input, kind, text } of this.#propertyRows()) {
      const name = nameOf(input)
      const refuse = (control: Control, message: string) =>
        faults.push({ field: name || 'a property', message, control })
      if (name === '' && !Object.hasOwn(this.#base.properties, '')) {
        // A row that was added and left empty is ignored.
        if (text.value === '') continue
        refuse(input, 'needs a name')
      }
      if (properties.has(name)) refuse(input, 'is listed twice')
      try {
        properties.set(name, this.#readProperty(name, kind.value, text.value))
      } catch (error) {
        refuse(text, messageOf(error))
      }
    }
    if (faults.length > 0) throw new InvalidInput(faults)
    return Object.fromEntries(properties)
  }

  #readProperty(name: string, kind: string, text: string): unknown {
    if (Object.hasOwn(this.#base.properties, name)) {
      const before = this.#base.properties[name]
      if (kind === kindOf(before) && text === shownAs(before)) return before
    }
    return readAs(kind, text)
  }

  /**
   * Shows an error of the form or of the API, marks the controls that it names, and moves the focus to the
   * first.
   */
  refuse(error: unknown): void {
    this.#problem.textContent = messageOf(error)
    const named = this.#controlsOf(error)
    for (const control of named) control.setAttribute('aria-invalid', 'true')
    named[0]?.focus()
  }

  /** Returns the controls that an error names. */
  #controlsOf(error: unknown): Control[] {
    if (error instanceof InvalidInput) return error.faults.map(({ control }) => control)
    if (!(error instanceof ApiError)) return []
    return error.details.flatMap(({ field }) => this.#controlOf(field) ?? [])
  }

  #controlOf(field: string): Control | undefined {
    const row = this.#propertyRows().find(({ name }) => `${field}.`.startsWith(`properties.${nameOf(name)}.`))
    const control = row?.text ?? this.#form.elements.namedItem(field)
    return isControl(control) ? control : undefined
  }

  #propertyRows(): PropertyRow[] {
    return [...this.#rows.children].map((row) => ({
      name: findIn(row, 'input', HTMLInputElement),
      kind: findIn(row, 'select', HTMLSelectElement),
      text: findIn(row, 'textarea', HTMLTextAreaElement),
    }))
  }

  #addRow(name = '', kind = 'text', text = ''): HTMLElement {
    const remove = make(
      'button',
      { type: 'button', className: 'remove', title: 'Remove' },
      unseen('Remove '),
      '×',
    )
    const nameInput = make('input', { defaultValue: name, autocomplete: 'off', placeholder: 'Name' })
    const row = make(
      'div',
      { role: 'group' },
      make('label', {}, unseen('Property name'), nameInput),
      make(
        'label',
        {},
        unseen('Kind'),
        make(
          'select',
          {},
          ...Object.entries(KINDS).map(([value, label]) => make('option', { value }, label)),
        ),
      ),
      make('label', {}, unseen('Value'), make('textarea', { rows: 1, value: text, placeholder: 'Value' })),
      remove,
    )
    findIn(row, 'select', HTMLSelectElement).value = kind
    const label = () => {
      row.ariaLabel = nameInput.value || 'New property'
    }
    nameInput.addEventListener('input', label)
    label()
    remove.addEventListener('click', () => {
      const next = row.nextElementSibling ?? row.previousElementSibling
      row.remove()
      ;(next ? findIn(next, '.remove') : this.#addButton).focus()
      // Removing a row is input, too: the event makes the dialog store the draft.
      this.#rows.dispatchEvent(new Event('input', { bubbles: true }))
    })
    this.#rows.append(row)
    return row
  }
}

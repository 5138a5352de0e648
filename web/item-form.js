import { EMPTY, FIELDS, ITEM_TYPES, SOURCING_TYPES } from './content.js'
import { isExact, parse, stringify } from './json.js'
import { make } from './page.js'

const KINDS = { text: 'Text', number: 'Number', json: 'JSON' }

const kindOf = (value) =>
  typeof value === 'number' || isExact(value) ? 'number' : typeof value === 'string' ? 'text' : 'json'

/** Returns the text of a value in a text area, which normalizes all line breaks to `\n`. */
const shownAs = (value) => (kindOf(value) === 'text' ? value : stringify(value)).replaceAll(/\r\n?/g, '\n')

/**
 * Returns the name in an input. An input removes line breaks, so an unchanged name is taken from its default
 * value.
 */
const nameOf = ({ value, defaultValue }) =>
  value === defaultValue.replaceAll(/[\r\n]/g, '') ? defaultValue : value

/** The syntax of a number in JSON. The API checks whether it can store the number. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/

function readAs(kind, text) {
  if (kind === 'text') return text
  if (kind === 'number') {
    if (!NUMBER.test(text.trim())) throw new Error('must be a number, like 1.5')
    return parse(text.trim())
  }
  try {
    return parse(text)
  } catch {
    throw new Error('must be JSON, like true, [1, 2] or {"a": 1}; for a text, choose Text')
  }
}

/**
 * Invalid input that the form itself detects. It has `details` like an `ApiError`; each may have the
 * `control` that is wrong.
 */
class InvalidInput extends Error {
  constructor(details) {
    super(details.map(({ field, message }) => `${field} ${message}`).join('; '))
    this.details = details
  }
}

const makeOptions = (names) => names.map((name) => make('option', { value: name }, name || 'not said'))

const makeField = (label, control) =>
  make(
    'label',
    { className: control.matches('select') ? 'field half' : 'field' },
    make('span', {}, label),
    control,
  )

function makeControls() {
  return {
    description: make('textarea', { name: 'description', rows: 1 }),
    item_type: make('select', { name: 'item_type' }, ...makeOptions(ITEM_TYPES)),
    sourcing_type: make('select', { name: 'sourcing_type' }, ...makeOptions(['', ...SOURCING_TYPES])),
    long_description: make('textarea', { name: 'long_description', rows: 2 }),
  }
}

const unseen = (text) => make('span', { className: 'unseen' }, text)

/**
 * The form for an item's content and a comment. Its controls are appended to the `.fields` of `form`, which
 * may have others; errors are shown in its `.problem`. A value that the user does not change is returned
 * exactly as it was, line breaks included.
 */
export class ItemForm {
  #form
  #problem
  #controls = makeControls()
  #rows = make('div', { className: 'property-rows' })
  #base = EMPTY

  constructor(form) {
    this.#form = form
    this.#problem = form.querySelector('.problem')
    const add = make('button', { type: 'button' }, 'Add a property')
    add.addEventListener('click', () => this.#addRow().querySelector('input').focus())
    form
      .querySelector('.fields')
      .append(
        ...Object.entries(FIELDS).map(([name, label]) => makeField(label, this.#controls[name])),
        make('fieldset', { className: 'properties' }, make('legend', {}, 'Properties'), this.#rows, add),
        makeField('Comment', make('input', { name: 'comment', autocomplete: 'off' })),
      )
    form.addEventListener('input', ({ target }) => target.removeAttribute('aria-invalid'))
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit()
    })
  }

  /** Shows `content`, overlaid with the input of a draft (`typed`), if there is one. */
  show(content, typed) {
    this.#base = content
    this.#form.reset()
    this.#problem.textContent = ''
    for (const element of this.#form.elements) element.removeAttribute('aria-invalid')
    for (const [name, control] of Object.entries(this.#controls)) control.value = content[name] ?? ''
    for (const [name, value] of Object.entries(typed?.fields ?? {})) this.#form.elements[name].value = value
    const rows = Object.entries(content.properties).map(([name, value]) => [
      name,
      kindOf(value),
      shownAs(value),
    ])
    this.#rows.replaceChildren()
    for (const row of typed?.properties ?? rows) this.#addRow(...row)
  }

  /** The current input, valid or not, for a draft: `show` restores it. */
  get typed() {
    return {
      fields: Object.fromEntries(new FormData(this.#form)),
      properties: this.#propertyRows().map(({ name, kind, text }) => [nameOf(name), kind.value, text.value]),
    }
  }

  get comment() {
    return this.#form.elements.comment.value.trim()
  }

  /**
   * Returns the content.
   * @throws {InvalidInput} if the input is not valid; `refuse` shows it
   */
  read() {
    const fields = Object.entries(this.#controls).map(([name, { value }]) => [
      name,
      this.#readField(name, value),
    ])
    return { ...Object.fromEntries(fields), properties: this.#readProperties() }
  }

  #readField(name, value) {
    const before = this.#base[name]
    if (value === shownAs(before ?? '')) return before
    return value === '' && name === 'sourcing_type' ? null : value
  }

  #readProperties() {
    const details = []
    const properties = new Map()
    for (const { name: input, kind, text } of this.#propertyRows()) {
      const name = nameOf(input)
      const refuse = (control, message) => details.push({ field: name || 'a property', message, control })
      if (name === '' && !Object.hasOwn(this.#base.properties, '')) {
        // A row that was added and left empty is ignored.
        if (text.value === '') continue
        refuse(input, 'needs a name')
      }
      if (properties.has(name)) refuse(input, 'is there twice')
      try {
        properties.set(name, this.#readProperty(name, kind.value, text.value))
      } catch (error) {
        refuse(text, error.message)
      }
    }
    if (details.length > 0) throw new InvalidInput(details)
    return Object.fromEntries(properties)
  }

  #readProperty(name, kind, text) {
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
  refuse(error) {
    this.#problem.textContent = error.message
    const controls = (error.details ?? []).map(({ field, control }) => control ?? this.#controlOf(field))
    const named = controls.filter(Boolean)
    for (const control of named) control.setAttribute('aria-invalid', 'true')
    named[0]?.focus()
  }

  #controlOf(field) {
    const row = this.#propertyRows().find(({ name }) => `${field}.`.startsWith(`properties.${nameOf(name)}.`))
    return row?.text ?? this.#form.elements[field]
  }

  #propertyRows() {
    return [...this.#rows.children].map((row) => {
      const [name, kind, text] = row.querySelectorAll('input, select, textarea')
      return { name, kind, text }
    })
  }

  #addRow(name = '', kind = 'text', text = '') {
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
      make('label', {}, unseen('Name of the property'), nameInput),
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
    row.querySelector('select').value = kind
    const tell = () => {
      row.ariaLabel = nameInput.value || 'New property'
    }
    nameInput.addEventListener('input', tell)
    tell()
    remove.addEventListener('click', () => {
      const next = row.nextElementSibling ?? row.previousElementSibling
      const focus = next?.querySelector('.remove') ?? this.#rows.nextElementSibling
      row.remove()
      focus.focus()
      // Removing a row is input, too: the event makes the dialog store the draft.
      this.#rows.dispatchEvent(new Event('input', { bubbles: true }))
    })
    this.#rows.append(row)
    return row
  }
}

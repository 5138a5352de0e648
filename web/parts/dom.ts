/**
 * Returns the element with this id.
 * @throws {Error} if the page has none of this class
 */
export function find(id: string): HTMLElement
export function find<E extends Element>(id: string, type: new () => E): E
export function find(id: string, type: new () => Element = HTMLElement): Element {
  const element = document.getElementById(id)
  if (element instanceof type) return element
  throw new Error(`The page has no ${type.name} with the id "${id}".`)
}

/**
 * Returns the first element below `parent` that matches `selector`.
 * @throws {Error} if it is none of this class
 */
export function findIn(parent: ParentNode, selector: string): HTMLElement
export function findIn<E extends Element>(parent: ParentNode, selector: string, type: new () => E): E
export function findIn(parent: ParentNode, selector: string, type: new () => Element = HTMLElement): Element {
  const element = parent.querySelector(selector)
  if (element instanceof type) return element
  throw new Error(`There is no ${type.name} that matches "${selector}".`)
}

/** Returns the elements of this class below `parent` that match `selector`. */
export function findAll<E extends Element>(parent: ParentNode, selector: string, type: new () => E): E[] {
  return [...parent.querySelectorAll(selector)].filter((element): element is E => element instanceof type)
}

/** A form control with a text value. */
export type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement

export const isControl = (element: unknown): element is Control =>
  element instanceof HTMLInputElement ||
  element instanceof HTMLSelectElement ||
  element instanceof HTMLTextAreaElement

/** Returns the texts in a form, by the names of their controls. Files are left out. */
export const textsOf = (form: HTMLFormElement): [name: string, text: string][] =>
  [...new FormData(form)].flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : []))

/** Returns the text of the control with this name, or the value of the selected radio button; else ''. */
export function textIn(form: HTMLFormElement, name: string): string {
  const element = form.elements.namedItem(name)
  return element instanceof RadioNodeList || isControl(element) ? element.value : ''
}

/** Sets the text of the control with this name, or selects the radio button with this value. */
export function setTextIn(form: HTMLFormElement, name: string, text: string): void {
  const element = form.elements.namedItem(name)
  if (element instanceof RadioNodeList || isControl(element)) element.value = text
}

/** A child of a new element. A string becomes text; anything empty is left out. */
export type Child = Node | string | false | null | undefined

/** Creates an element. Children that are strings become text, never markup; empty ones are left out. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children.filter((child): child is Node | string => Boolean(child)))
  return element
}

/** Sets an element's text if it differs: setting it again would make a screen reader repeat it. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' })

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const

/**
 * Describes how long ago `at` was. A time in the future, which clocks that differ can cause, counts as now.
 */
function ago(at: Date): string {
  const seconds = Math.max(0, (Date.now() - at.getTime()) / 1000)
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit)
  }
  return seconds < 10 ? 'just now' : `${Math.floor(seconds)} sec. ago`
}

/**
 * Creates an element that shows a time relative to now, kept up to date, with the exact time as its title.
 */
export function makeTime(at: Date): HTMLTimeElement {
  return make('time', { dateTime: at.toISOString(), title: exact.format(at) }, ago(at))
}

setInterval(() => {
  for (const time of findAll(document, 'time', HTMLTimeElement)) {
    time.textContent = ago(new Date(time.dateTime))
  }
}, 10_000)

/** The element with this id. */
export const find = (id) => document.getElementById(id)

/** Makes an element. Children that are strings become text, never markup; empty ones are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children.filter(Boolean))
  return element
}

/** Writes a text only when it changes: a screen reader would read it again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' })

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]

/** How long ago `at` is, in words. Where the clocks differ, nothing comes from the future. */
function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000)
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit)
  }
  return seconds < 10 ? 'just now' : `${Math.floor(seconds)} sec. ago`
}

/** A time, relative and kept so; exact on hover. */
export function makeTime(at) {
  return make('time', { dateTime: at.toISOString(), title: exact.format(at) }, ago(at))
}

setInterval(() => {
  for (const time of document.querySelectorAll('time')) time.textContent = ago(new Date(time.dateTime))
}, 10_000)

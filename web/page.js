/** Returns the element with this id. */
export const find = (id) => document.getElementById(id)

/** Creates an element. Children that are strings become text, never markup; empty ones are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children.filter(Boolean))
  return element
}

/** Sets an element's text if it differs: setting it again would make a screen reader repeat it. */
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

/**
 * Describes how long ago `at` was. A time in the future, which clocks that differ can cause, counts as now.
 */
function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000)
  for (const [unit, length] of UNITS) {
    if (seconds >= length) return relative.format(-Math.floor(seconds / length), unit)
  }
  return seconds < 10 ? 'just now' : `${Math.floor(seconds)} sec. ago`
}

/**
 * Creates an element that shows a time relative to now, kept up to date, with the exact time as its title.
 */
export function makeTime(at) {
  return make('time', { dateTime: at.toISOString(), title: exact.format(at) }, ago(at))
}

setInterval(() => {
  for (const time of document.querySelectorAll('time')) time.textContent = ago(new Date(time.dateTime))
}, 10_000)

import { read } from './feed.js'

/** The element with this id. */
export const find = (id) => document.getElementById(id)

/** Makes an element. Children that are strings become text, never markup; empty ones are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children.filter(Boolean))
  return element
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' })
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short' })

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

const BANNERS = {
  'read-only': 'Read-only: items can’t be changed at the moment.',
  degraded: 'The database can’t be reached. What happens meanwhile will be shown as soon as it is back.',
  draining: 'The server is shutting down. This page reconnects by itself.',
}

const STATES = {
  connecting: () => 'connecting …',
  live: () => 'live',
  reconnecting: ({ attempt }) => `reconnecting (${attempt}) …`,
  offline: ({ since }) => `offline since ${clock.format(since)}`,
}

function setText(element, text) {
  // Written only when it changes: a screen reader would read it again.
  if (element.textContent !== text) element.textContent = text
}

/** Shows the state of the connection, always, and as a banner what keeps the server or us from working. */
export function showStatus(status) {
  const { state, mode, since } = status
  find('state').dataset.state = state
  setText(find('state'), STATES[state](status))
  const banner = find('banner')
  const offline =
    state === 'offline' &&
    `The server has not been reached since ${clock.format(since)}. This page goes on by itself where it stopped.`
  const text = offline || BANNERS[mode]
  banner.hidden = text === undefined
  banner.dataset.mode = offline ? 'offline' : mode
  setText(banner, text ?? '')
}

/** Shows who is signed in. */
export async function showAccount() {
  try {
    const { display_name, role } = await read('/api/auth/me')
    find('account').textContent = display_name
    find('account').title = role
  } catch {
    // Only a courtesy; that the server is away is told elsewhere.
  }
}

import { setText } from './page.js'

const REASONS = {
  'read-only': 'Read-only: nothing can be saved at the moment.',
  degraded: 'The database can’t be reached: nothing can be saved at the moment.',
  draining: 'The server is shutting down: nothing can be saved at the moment.',
}

const OFFLINE = 'The server can’t be reached: nothing can be saved at the moment.'

/** Shows the groups of buttons that write (`[data-writes]`) to editors and admins only. */
export function showPermission({ role }) {
  for (const group of document.querySelectorAll('[data-writes]')) group.hidden = role === 'viewer'
}

/** Disables those groups while writes are not possible, and shows the reason in `.why-not`. */
export function showWritable({ state, mode }) {
  const reason = state === 'offline' ? OFFLINE : REASONS[mode]
  for (const group of document.querySelectorAll('[data-writes]')) group.disabled = reason !== undefined
  for (const text of document.querySelectorAll('.why-not')) setText(text, reason ?? '')
}

import type { Mode } from '../../schemas/mode.js'
import type { Status } from '../feed/connection.js'
import type { Account } from './api.js'
import { findAll, setText } from './dom.js'

const REASONS: Record<Mode, string | undefined> = {
  normal: undefined,
  'read-only': 'Read-only: nothing can be saved at the moment.',
  degraded: 'The database can’t be reached: nothing can be saved at the moment.',
  draining: 'The server is shutting down: nothing can be saved at the moment.',
}

const OFFLINE = 'The server can’t be reached: nothing can be saved at the moment.'

const groups = () => findAll(document, '[data-writes]', HTMLFieldSetElement)

/** Shows the groups of buttons that write (`[data-writes]`) to editors and admins only. */
export function showPermission({ role }: Account): void {
  for (const group of groups()) group.hidden = role === 'viewer'
}

/** Disables those groups while writes are not possible, and shows the reason in `.why-not`. */
export function showWritable({ state, mode }: Status): void {
  const reason = state === 'offline' ? OFFLINE : REASONS[mode]
  for (const group of groups()) group.disabled = reason !== undefined
  for (const text of document.querySelectorAll('.why-not')) setText(text, reason ?? '')
}

import type { Mode } from '../../schemas/mode.js'
import type { Status } from '../feed/connection.js'
import type { Account } from './api.js'
import { findAll, setText } from './dom.js'

const REASONS: Record<Mode, string | undefined> = {
  normal: undefined,
  'read-only': 'Silo is read-only. You can’t save right now.',
  degraded: 'Can’t reach the database. You can’t save right now.',
  draining: 'The server is shutting down. You can’t save right now.',
}

const OFFLINE = 'Can’t reach the server. You can’t save right now.'

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

import type { Mode } from '../../schemas/mode.js'
import type { Status } from '../feed/connection.js'
import { type Account, read } from './api.js'
import { find, findAll, setText } from './dom.js'
import { isNowSignedIn } from './session.js'

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short' })

const RETRY_MS = 3000

const BANNERS: Record<Mode, string | undefined> = {
  normal: undefined,
  'read-only': 'Silo is read-only. Items can’t be changed right now.',
  degraded: 'Can’t reach the database. Missed changes will appear when it’s back.',
  draining: 'The server is shutting down. This page reconnects automatically.',
}

const STATES: Record<Status['state'], (status: Status) => string> = {
  connecting: () => 'Connecting…',
  live: () => 'Live',
  reconnecting: ({ attempt }) => `Reconnecting (${attempt})…`,
  offline: ({ since }) => `Offline since ${clock.format(since)}`,
  'signed-out': () => 'Signed out',
}

/**
 * Shows the state of the connection, and a banner while the server can't be reached or is not in normal mode.
 */
export function showStatus(status: Status): void {
  const { state, mode, since } = status
  find('state').dataset.state = state
  setText(find('state'), STATES[state](status))
  const banner = find('banner')
  const offline =
    state === 'offline'
      ? `No connection since ${clock.format(since)}. This page reconnects and catches up automatically.`
      : undefined
  const text = offline ?? BANNERS[mode]
  banner.hidden = text === undefined
  banner.dataset.mode = offline ? 'offline' : mode
  setText(banner, text ?? '')
}

/** Reads the account of the signed-in user. Repeats the request until it succeeds. */
async function readAccount(): Promise<Account> {
  try {
    return await read('/api/auth/me')
  } catch {
    // The state of the connection shows that the server can't be reached.
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    return readAccount()
  }
}

/** Shows the signed-in user, and returns the account. */
export async function showAccount(): Promise<Account> {
  const account = await readAccount()
  find('account').textContent = account.display_name
  find('account').title = `${account.username}, ${account.role}`
  find('account').dataset.username = account.username
  isNowSignedIn(account.username)
  return account
}

const section = location.pathname.split('/')[1] ?? ''
for (const link of findAll(document, 'header nav a', HTMLAnchorElement)) {
  if (link.pathname === `/${section}`) link.setAttribute('aria-current', 'page')
}

import type { Account } from './api.js'

/** A message to the other tabs of this browser. */
type TabMessage = { type: 'signed-out' } | { type: 'signed-in'; username: string }

const tabs = new BroadcastChannel('session')

/** Prefix of the keys of drafts (draft.ts). */
const DRAFT = 'draft of '

let signedOut = false
/** The username for which this page was shown; undefined until it is known. */
let known: string | undefined

/** Whether this browser has signed out while the page was open: then nothing may be stored any more. */
export const isSignedOut = (): boolean => signedOut

const send = (message: TabMessage) => tabs.postMessage(message)

/**
 * Deletes what this tab has stored. `Clear-Site-Data` is not enough: no browser honours it for each kind of
 * storage.
 */
function forgetAll(): void {
  signedOut = true
  sessionStorage.clear()
}

/** Leaves a page that requires a session. It is hidden first, so that the back button does not show it. */
function leave(): void {
  forgetAll()
  if (location.pathname === '/login') return
  document.documentElement.hidden = true
  location.replace('/login')
}

/**
 * Records the signed-in user. Deletes the drafts of other users in this tab. Notifies the other tabs, which
 * reload if they were shown for another user.
 */
export function isNowSignedIn(username: string): void {
  known = username
  for (const key of Object.keys(sessionStorage)) {
    if (key.startsWith(DRAFT) && !key.startsWith(`${DRAFT}${username}: `)) sessionStorage.removeItem(key)
  }
  send({ type: 'signed-in', username })
}

tabs.onmessage = ({ data }: MessageEvent<TabMessage>) => {
  if (data.type === 'signed-out') leave()
  else if (known !== undefined && known !== data.username) location.reload()
}

document.querySelector('form[action="/logout"]')?.addEventListener('submit', () => {
  forgetAll()
  send({ type: 'signed-out' })
})

/**
 * Handles a page that the browser restores from its back/forward cache: hidden until the server confirms that
 * the same user is signed in.
 */
async function checkAgain(): Promise<void> {
  document.documentElement.hidden = true
  const response = await fetch('/api/auth/me').catch(() => undefined)
  const account = response?.ok ? ((await response.json()) as Account) : undefined
  if (known !== undefined && account?.username === known) document.documentElement.hidden = false
  else location.reload()
}

addEventListener('pageshow', (event) => {
  if (event.persisted && location.pathname !== '/login') void checkAgain()
})

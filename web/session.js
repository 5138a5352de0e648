/**
 * Messages between the tabs of this browser: `{ type: 'signed-out' }` and `{ type: 'signed-in', username }`.
 */
const tabs = new BroadcastChannel('session')

/** Prefix of the keys of drafts (draft.js). */
const DRAFT = 'draft of '

let signedOut = false
/** The username for which this page was shown; undefined until it is known. */
let known

/** Whether this browser has signed out while the page was open: then nothing may be stored any more. */
export const isSignedOut = () => signedOut

/**
 * Deletes what this tab has stored. `Clear-Site-Data` is not enough: no browser honours it for each kind of
 * storage.
 */
function forgetAll() {
  signedOut = true
  sessionStorage.clear()
}

/** Leaves a page that requires a session. It is hidden first, so that the back button does not show it. */
function leave() {
  forgetAll()
  if (location.pathname === '/login') return
  document.documentElement.hidden = true
  location.replace('/login')
}

/**
 * Records the signed-in user. Deletes the drafts of other users in this tab. Notifies the other tabs, which
 * reload if they were shown for another user.
 */
export function isNowSignedIn(username) {
  known = username
  for (const key of Object.keys(sessionStorage)) {
    if (key.startsWith(DRAFT) && !key.startsWith(`${DRAFT}${username}: `)) sessionStorage.removeItem(key)
  }
  tabs.postMessage({ type: 'signed-in', username })
}

tabs.onmessage = ({ data: { type, username } }) => {
  if (type === 'signed-out') leave()
  else if (known !== undefined && known !== username) location.reload()
}

document.querySelector('form[action="/logout"]')?.addEventListener('submit', () => {
  forgetAll()
  tabs.postMessage({ type: 'signed-out' })
})

/**
 * Handles a page that the browser restores from its back/forward cache: hidden until the server confirms that
 * the same user is signed in.
 */
async function checkAgain() {
  document.documentElement.hidden = true
  const answer = await fetch('/api/auth/me').catch(() => undefined)
  const account = answer?.ok ? await answer.json() : undefined
  if (known !== undefined && account?.username === known) document.documentElement.hidden = false
  else location.reload()
}

addEventListener('pageshow', (event) => {
  if (event.persisted && location.pathname !== '/login' && location.pathname !== '/docs') checkAgain()
})

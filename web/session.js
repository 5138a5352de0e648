/** What the tabs of this browser tell each other: `{ type: 'signed-out' }`, or `{ type: 'signed-in', username }`. */
const tabs = new BroadcastChannel('session')

const DRAFT = 'draft of '

let signedOut = false
/** Who is signed in, as far as this page knows. */
let known

/** Whether this browser has signed out while the page was open: nothing may be kept any more. */
export const isSignedOut = () => signedOut

/** Takes away what this tab keeps. `Clear-Site-Data` does so where the browser obeys it, which none does for each kind of storage. */
function forgetAll() {
  signedOut = true
  sessionStorage.clear()
}

/** Leaves a page that shows what only somebody signed in may see, also for the way back. */
function leave() {
  forgetAll()
  if (location.pathname === '/login') return
  document.documentElement.hidden = true
  location.replace('/login')
}

/** Notes who is signed in. What another person left in this tab goes, and the other tabs show the page as this one sees it. */
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

/** A page that the browser kept whole and shows again: it is shown once the server says that the same person is signed in. */
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

import type { ErrorCode } from '../../errors.js'
import type { ErrorBody, SignedIn } from './api.js'
import { find, findIn, make, textIn } from './dom.js'

/** The texts for a refused sign-in, by the error code of the API. */
const REFUSALS = new Map<string, string>(
  Object.entries({
    invalid_credentials: 'Incorrect username or password.',
    invalid_request: 'Enter your username and password.',
    overloaded: 'Too many people are signing in right now. Try again.',
    server_read_only: 'Silo is read-only, so you can’t sign in right now. Try again later.',
    database_unavailable: 'Can’t reach the database. Try again later.',
    rate_limited: 'Too many attempts. Wait a minute, then try again.',
  } satisfies Partial<Record<ErrorCode, string>>),
)

/** Returns the text for an error code. */
export const refusalOf = (code: string): string => REFUSALS.get(code) ?? 'Sign-in failed. Try again.'

function makeField(name: 'username' | 'password', properties: Partial<HTMLInputElement>): HTMLElement[] {
  return [
    make('label', { htmlFor: `again-${name}` }, name === 'username' ? 'Username' : 'Password'),
    make('input', { id: `again-${name}`, name, required: true, ...properties }),
  ]
}

function makeDialog(): HTMLDialogElement {
  const known = find('account').dataset.username ?? ''
  const heading = make('h2', { id: 'again' }, 'Sign in again')
  const dialog = make(
    'dialog',
    { className: 'sign-in-again' },
    make(
      'form',
      { method: 'post', action: '/login' },
      heading,
      make('p', {}, 'Your session has ended. Sign in to continue where you left off.'),
      make('p', { className: 'problem', role: 'alert' }),
      ...makeField('username', { autocomplete: 'username', autocapitalize: 'none', value: known }),
      ...makeField('password', {
        type: 'password',
        autocomplete: 'current-password',
        autofocus: known !== '',
      }),
      make('button', { className: 'primary' }, 'Sign in'),
    ),
  )
  dialog.setAttribute('aria-labelledby', 'again')
  return dialog
}

/** Signs in. Returns the error code, or undefined after a success. */
async function tryCredentials(username: string, password: string): Promise<string | undefined> {
  const response = await fetch('/api/auth/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  })
  if (!response.ok) return ((await response.json()) as ErrorBody).error
  const { user } = (await response.json()) as SignedIn
  // Another user may have other rights, so the page is loaded again.
  const known = find('account').dataset.username
  if (known !== undefined && known !== user.username) location.reload()
  return undefined
}

/** The open dialog, with its promise and the promise's `resolve`. */
interface SignInDialog {
  dialog: HTMLDialogElement
  promise: Promise<void>
  resolve: () => void
}

/** Undefined if the dialog is not open. */
let signInDialog: SignInDialog | undefined

/** Opens the dialog. */
function openDialog(): SignInDialog {
  const dialog = makeDialog()
  const form = findIn(dialog, 'form', HTMLFormElement)
  const { promise, resolve } = withResolvers()
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const button = findIn(form, 'button', HTMLButtonElement)
    button.disabled = true
    try {
      const refusal = await tryCredentials(textIn(form, 'username'), textIn(form, 'password'))
      if (refusal === undefined) return signedIn()
      findIn(form, '.problem').textContent = refusalOf(refusal)
    } catch {
      findIn(form, '.problem').textContent = 'Can’t reach the server. Try again.'
    } finally {
      button.disabled = false
    }
  })
  // Escape closes a dialog. It is opened again, because the page can't do anything without a session.
  dialog.addEventListener('close', () => {
    if (signInDialog?.dialog === dialog) dialog.showModal()
  })
  document.body.append(dialog)
  dialog.showModal()
  return { dialog, promise, resolve }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Shows the sign-in dialog over the page, whose state is retained. Resolves when the user has signed in. */
export function signInAgain(): Promise<void> {
  signInDialog ??= openDialog()
  return signInDialog.promise
}

/** Closes the dialog and resolves its promise, after a sign-in here or in another tab. */
export function signedIn(): void {
  if (!signInDialog) return
  const { dialog, resolve } = signInDialog
  signInDialog = undefined
  dialog.remove()
  resolve()
}

import { isSignedOut } from './session.js'

/** What one person has typed and not saved, by this tab, through whatever takes the page away. */
export class Draft {
  #key

  constructor(username, subject) {
    this.#key = `draft of ${username}: ${subject}`
  }

  read() {
    return JSON.parse(sessionStorage.getItem(this.#key)) ?? undefined
  }

  keep(typed) {
    // The page is still there while the browser signs out, and what it keeps then would stay.
    if (isSignedOut()) return
    sessionStorage.setItem(this.#key, JSON.stringify(typed))
  }

  forget() {
    sessionStorage.removeItem(this.#key)
  }
}

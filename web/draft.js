import { isSignedOut } from './session.js'

/** The unsaved input of one user in this tab, stored so that it survives a reload or a navigation. */
export class Draft {
  #key

  constructor(username, subject) {
    this.#key = `draft of ${username}: ${subject}`
  }

  read() {
    return JSON.parse(sessionStorage.getItem(this.#key)) ?? undefined
  }

  keep(typed) {
    // During a sign-out the page is still running. A draft that it stores then would remain in the browser.
    if (isSignedOut()) return
    sessionStorage.setItem(this.#key, JSON.stringify(typed))
  }

  forget() {
    sessionStorage.removeItem(this.#key)
  }
}

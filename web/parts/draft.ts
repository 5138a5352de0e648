import { isSignedOut } from './session.js'

/** The unsaved input of one user in this tab, stored so that it survives a reload or a navigation. */
export class Draft<Input> {
  readonly #key: string

  constructor(username: string, subject: string) {
    this.#key = `draft of ${username}: ${subject}`
  }

  read(): Input | undefined {
    const stored = sessionStorage.getItem(this.#key)
    return stored === null ? undefined : (JSON.parse(stored) as Input)
  }

  keep(input: Input): void {
    // During a sign-out the page is still running. A draft that it stores then would remain in the browser.
    if (isSignedOut()) return
    sessionStorage.setItem(this.#key, JSON.stringify(input))
  }

  forget(): void {
    sessionStorage.removeItem(this.#key)
  }
}

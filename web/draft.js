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
    sessionStorage.setItem(this.#key, JSON.stringify(typed))
  }

  forget() {
    sessionStorage.removeItem(this.#key)
  }
}

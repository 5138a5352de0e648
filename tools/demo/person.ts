import { setTimeout as delay } from 'node:timers/promises'
import { type Item, nextPause, nextTask } from './work.js'

/** The account of a user of the demo. */
export interface Account {
  username: string
  password: string
  role: 'viewer' | 'editor' | 'admin'
  display_name: string
}

/** A signed-in user of the demo. */
export class Person {
  private constructor(
    readonly username: string,
    readonly origin: string,
    readonly token: string,
  ) {}

  static async signIn(origin: string, { username, password }: Account): Promise<Person> {
    const stranger = new Person(username, origin, '')
    const answer = await stranger.send('POST', '/api/auth/login', { username, password })
    if (!answer.ok) throw new Error(`failed to sign in as ${username}: ${await answer.text()}`)
    const { token } = (await answer.json()) as { token: string }
    return new Person(username, origin, token)
  }

  /** Sends a request with the token of the user. A body is sent as JSON, unless it is a string. */
  send(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Response> {
    return fetch(this.origin + path, {
      method,
      headers: {
        accept: 'application/json',
        ...(this.token !== '' && { authorization: `Bearer ${this.token}` }),
        ...(body !== undefined && { 'content-type': type }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  }

  async #items(): Promise<Item[]> {
    const answer = await this.send('GET', '/api/items?limit=500')
    return answer.ok ? ((await answer.json()) as { items: Item[] }).items : []
  }

  /**
   * Makes one change after another until `signal` aborts. Reports a refused change with `tell`, and drops it.
   */
  async work(signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    while (!signal.aborted) {
      const [first, ...others] = await this.#items()
      if (first) {
        const { method, path, body } = nextTask([first, ...others])
        const answer = await this.send(method, path, body)
        const said = await answer.text()
        if (!answer.ok) tell(`${this.username}: ${method} ${path} was refused (${answer.status}): ${said}`)
      }
      await delay(nextPause(), undefined, { signal }).catch(() => undefined)
    }
  }
}

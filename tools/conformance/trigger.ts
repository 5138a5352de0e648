import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'

/** Thrown when a command fails to trigger an event or to stop the server. The stream may be correct. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/**
 * Runs a command in the shell, with `text` as `$SSE_TEXT`. Its output goes to the standard error.
 * @throws {CommandError} when its exit code is not 0
 */
export async function runCommand(command: string, text = ''): Promise<void> {
  const child = spawn(command, {
    shell: true,
    stdio: ['ignore', process.stderr, process.stderr],
    env: { ...process.env, SSE_TEXT: text },
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new CommandError(`the command ended with ${code ?? 'a signal'}: ${command}`)
}

const authorize = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

const member = (value: unknown, name: string): unknown =>
  new Map<string, unknown>(Object.entries(value ?? {})).get(name)

/** Returns a trigger for Silo, which creates an item. */
export function createItems(origin: URL, token: string | undefined): (text: string) => Promise<void> {
  const run = randomBytes(4).toString('hex')
  let count = 0
  return async (description) => {
    count += 1
    const response = await fetch(new URL('/api/items', origin), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorize(token) },
      body: JSON.stringify({ part_number: `CONFORMANCE-${run}-${count}`, description }),
    })
    const answer = await response.text()
    if (!response.ok) throw new CommandError(`POST /api/items failed with ${response.status}: ${answer}`)
  }
}

/**
 * Returns a function that requests the number of open streams from the server.
 * @param place an address and, after `#`, the JSON pointer (RFC 6901) to the number in the response
 */
export function countAt(origin: URL, place: string, token: string | undefined): () => Promise<number> {
  const url = new URL(place, origin)
  const names = decodeURIComponent(url.hash.slice(1)).split('/').slice(1)
  const path = names.map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
  return async () => {
    const answer: unknown = await (await fetch(url, { headers: authorize(token) })).json()
    const found = path.reduce(member, answer)
    if (typeof found !== 'number') throw new CommandError(`there is no number at ${place}`)
    return found
  }
}

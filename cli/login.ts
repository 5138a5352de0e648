import { hostname } from 'node:os'
import { text } from 'node:stream/consumers'
import type { Static } from '@sinclair/typebox'
import { read } from 'read'
import { CreatedToken, SignedIn } from './responses.js'
import { Client } from './client.js'
import { credentialsFile, forgetLogin, keepLogin, readCredentials } from './credentials.js'
import { EXIT, Failure } from './failure.js'
import { plain, printToStderr } from './screen.js'
import { type Where, findUrl } from './session.js'

/** The options of every command that reads a password. */
export interface PasswordOptions extends Where {
  passwordStdin?: boolean
}

/** The options of `silo login`. */
export interface LoginOptions extends PasswordOptions {
  username?: string
}

/** @throws {Failure} if the standard input is not a terminal */
async function promptUser(prompt: string, silent: boolean): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new Failure(
      'The standard input is not a terminal: use --username and --password-stdin.',
      EXIT.usage,
    )
  }
  // The password is read without echo. It is never an argument, because every user of the machine can read
  // the arguments of a process.
  const input = await read({ prompt, silent, output: process.stderr })
  if (silent) printToStderr('')
  return input
}

async function readPassword({ passwordStdin = false }: PasswordOptions): Promise<string> {
  if (!passwordStdin) return promptUser('Password: ', true)
  return (await text(process.stdin)).replace(/\r?\n$/, '')
}

type User = Static<typeof SignedIn>['user']

/** Prompts for the password, signs in, runs `work` with that session, and ends the session in any case. */
export async function inSession<Result>(
  url: string,
  username: string,
  options: PasswordOptions,
  work: (session: Client, user: User) => Promise<Result>,
): Promise<Result> {
  const password = await readPassword(options)
  const { token, user } = await new Client(url, undefined).request(SignedIn, 'POST', '/api/auth/login', {
    body: { username, password },
  })
  const session = new Client(url, token)
  try {
    return await work(session, user)
  } finally {
    await session.send('POST', '/logout')
  }
}

/** Signs in, creates an API token for this machine and stores it. Revokes the token that it replaces. */
export async function login(options: LoginOptions): Promise<void> {
  const url = await findUrl(options)
  const username = options.username ?? (await promptUser('Username: ', false))
  await inSession(url, username, options, async (session, user) => {
    const replaced = (await readCredentials()).logins[url]
    // The old token is revoked by its own secret, because it may be another user's. If it has expired, the
    // request is refused, which does not matter.
    if (replaced)
      await new Client(url, replaced.token).send('DELETE', `/api/auth/tokens/${replaced.token_id}`)
    const { id, token } = await session.request(CreatedToken, 'POST', '/api/auth/tokens', {
      body: { name: `silo on ${hostname()}`.slice(0, 200), keep: true },
    })
    await keepLogin(url, { username: user.username, token_id: id, token })
    printToStderr(
      `Signed in at ${url} as ${plain(`${user.username} (${user.role})`)}. Saved in ${credentialsFile()}.`,
    )
  })
}

/** Revokes the API token of `login` and removes it from the file. */
export async function logout(where: Where): Promise<void> {
  const url = await findUrl(where)
  const kept = (await readCredentials()).logins[url]
  if (!kept) throw new Failure(`You are not signed in at ${url}.`, EXIT.access)
  const response = await new Client(url, kept.token).send('DELETE', `/api/auth/tokens/${kept.token_id}`)
  // 401: it was revoked already, or has expired.
  if (!response.ok && response.status !== 401) throw await new Client(url, kept.token).refusal(response)
  await forgetLogin(url)
  printToStderr(`Signed out at ${url}.`)
}

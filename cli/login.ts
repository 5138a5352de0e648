import { hostname } from 'node:os'
import { text } from 'node:stream/consumers'
import { read } from 'read'
import { CreatedToken, SignedIn } from './answers.js'
import { Client } from './client.js'
import { credentialsFile, forgetLogin, keepLogin, readCredentials } from './credentials.js'
import { EXIT, Failure } from './failure.js'
import { plain, tell } from './screen.js'
import { type Where, findUrl } from './session.js'

export interface LoginOptions extends Where {
  username?: string
  passwordStdin?: boolean
}

async function ask(prompt: string, silent: boolean): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new Failure(
      'There is no terminal to ask in: give --username, and the password by --password-stdin.',
      EXIT.usage,
    )
  }
  // What is typed for a password is shown to nobody, and never an argument: those can be read by everybody on the machine.
  const answer = await read({ prompt, silent, output: process.stderr })
  if (silent) tell('')
  return answer
}

async function readPassword({ passwordStdin = false }: LoginOptions): Promise<string> {
  if (!passwordStdin) return ask('Password: ', true)
  return (await text(process.stdin)).replace(/\r?\n$/, '')
}

/** Signs in, makes an API token for this machine, and keeps that; the session is ended, the password forgotten. */
export async function login(options: LoginOptions): Promise<void> {
  const url = await findUrl(options)
  const username = options.username ?? (await ask('Username: ', false))
  const password = await readPassword(options)

  const stranger = new Client(url, undefined)
  const { token: session, user } = await stranger.ask(SignedIn, 'POST', '/api/auth/login', {
    body: { username, password },
  })
  const client = new Client(url, session)
  const { id, token } = await client.ask(CreatedToken, 'POST', '/api/auth/tokens', {
    body: { name: `silo on ${hostname()}`.slice(0, 200) },
  })
  await keepLogin(url, { username: user.username, token_id: id, token })
  await client.send('POST', '/logout')
  tell(`Signed in at ${url} as ${plain(`${user.username} (${user.role})`)}. Kept in ${credentialsFile()}.`)
}

/** Revokes what `login` has made, and forgets it. */
export async function logout(where: Where): Promise<void> {
  const url = await findUrl(where)
  const kept = (await readCredentials()).logins[url]
  if (!kept) throw new Failure(`You are not signed in at ${url}.`, EXIT.access)
  const response = await new Client(url, kept.token).send('DELETE', `/api/auth/tokens/${kept.token_id}`)
  // 401: it has been revoked already, or is over.
  if (!response.ok && response.status !== 401) throw await new Client(url, kept.token).refusal(response)
  await forgetLogin(url)
  tell(`Signed out at ${url}.`)
}

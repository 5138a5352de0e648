import { CreatedToken } from './responses.js'
import { readCredentials } from './credentials.js'
import { EXIT, Failure } from './failure.js'
import { type PasswordOptions, inSession } from './login.js'
import { plain, print, printToStderr } from './screen.js'
import { findUrl, openSession } from './session.js'

/** The options of `silo token create`. */
export interface TokenOptions extends PasswordOptions {
  role?: string
  days: number
  keep?: boolean
}

/**
 * Creates an API token. Only its secret goes to the standard output, so that it can be piped. The token ends
 * with the sign-in of this machine. With `keep` it does not: then it is created in a new session, for which
 * the password is required.
 */
export async function createToken(name: string, options: TokenOptions): Promise<void> {
  const { role, days, keep = false } = options
  const body = { name, expires_in_days: days, role, keep }
  const created = keep
    ? await createKept(options, body)
    : await (await openSession(options)).request(CreatedToken, 'POST', '/api/auth/tokens', { body })
  printToStderr(
    plain(
      `Token with the role ${created.role}, valid until ${created.expires_at.slice(0, 10)}. ` +
        'It is shown only once:',
    ),
  )
  print(plain(created.token))
}

async function createKept(options: TokenOptions, body: object) {
  const url = await findUrl(options)
  const username = (await readCredentials()).logins[url]?.username
  if (username === undefined) {
    throw new Failure(`You are not signed in at ${url}: run "silo login --url ${url}" first.`, EXIT.access)
  }
  return inSession(url, username, options, (session) =>
    session.request(CreatedToken, 'POST', '/api/auth/tokens', { body }),
  )
}

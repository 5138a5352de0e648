import { Client } from './client.js'
import { readCredentials } from './credentials.js'
import { EXIT, Failure } from './failure.js'

const DEFAULT_URL = 'http://127.0.0.1:8080'

/** The options of every command. */
export interface Where {
  url?: string
}

/**
 * Returns the origin of the Silo to use: of `--url`, SILO_URL, the latest sign-in, or the default on this
 * machine, in this order.
 * @throws {Failure} if the address is not an HTTP URL
 */
export async function findUrl({ url }: Where, env = process.env): Promise<string> {
  const wanted = url ?? (env.SILO_URL || undefined) ?? (await readCredentials()).current ?? DEFAULT_URL
  if (!URL.canParse(wanted) || !/^https?:$/.test(new URL(wanted).protocol)) {
    throw new Failure(
      `"${wanted}" is not a valid address: it must begin with http:// or https://.`,
      EXIT.usage,
    )
  }
  return new URL(wanted).origin
}

/**
 * Returns a client with SILO_TOKEN, or else with the token of the sign-in at that address.
 * @throws {Failure} if there is neither
 */
export async function openSession(where: Where, env = process.env): Promise<Client> {
  const url = await findUrl(where, env)
  const token = env.SILO_TOKEN || (await readCredentials()).logins[url]?.token
  if (token === undefined) {
    throw new Failure(`You are not signed in at ${url}: run "silo login --url ${url}" first.`, EXIT.access)
  }
  return new Client(url, token)
}

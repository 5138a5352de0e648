import { Client } from './client.js'
import { readCredentials } from './credentials.js'
import { EXIT, Failure } from './failure.js'

const DEFAULT_URL = 'http://127.0.0.1:8080'

/** What every command can be told. */
export interface Where {
  url?: string
}

/** The address of the Silo to talk to: as told, SILO_URL, the one signed in at last, or the one on this machine. */
export async function findUrl({ url }: Where, env = process.env): Promise<string> {
  const wanted = url ?? (env.SILO_URL || undefined) ?? (await readCredentials()).current ?? DEFAULT_URL
  if (!URL.canParse(wanted) || !/^https?:$/.test(new URL(wanted).protocol)) {
    throw new Failure(`"${wanted}" is no address: it must begin with http:// or https://.`, EXIT.usage)
  }
  return new URL(wanted).origin
}

/**
 * The Silo to talk to, as whoever signed in there; SILO_TOKEN comes before that.
 * @throws {Failure} when nobody did
 */
export async function openSession(where: Where, env = process.env): Promise<Client> {
  const url = await findUrl(where, env)
  const token = env.SILO_TOKEN || (await readCredentials()).logins[url]?.token
  if (token === undefined) {
    throw new Failure(`You are not signed in at ${url}: run "silo login --url ${url}" first.`, EXIT.access)
  }
  return new Client(url, token)
}

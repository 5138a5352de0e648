import { hash, randomBytes } from 'node:crypto'

/** Distinguishes an API token from the JWT of a session. Also known to scanners for leaked secrets. */
const PREFIX = 'silo_'
/** The random bytes of an API token. */
const SECRET_BYTES = 32

/** Whether a bearer token is an API token, by its form alone. */
export const isApiToken = (bearer: string): boolean => bearer.startsWith(PREFIX)

/** Returns the SHA-256 of an API token, in hexadecimal, as the database stores it. */
export const hashApiToken = (token: string): string => hash('sha256', token)

/** Makes a random API token. Returns it with its hash. */
export function newApiToken(): { token: string; hash: Buffer } {
  const token = `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`
  return { token, hash: Buffer.from(hashApiToken(token), 'hex') }
}

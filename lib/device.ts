import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Max users for which a browser is a known device. */
const MAX_USERS = 5
const NONCE = /^[A-Za-z0-9_-]{22}$/

const macOf = (key: string, nonce: string, username: string): Buffer =>
  createHmac('sha256', key).update(`device\0${nonce}\0${username}`).digest()

interface Entry {
  nonce: string
  mac: string
}

function entriesOf(cookie: string): Entry[] {
  return cookie
    .split('.')
    .slice(0, MAX_USERS)
    .map((entry) => {
      const [nonce = '', mac = ''] = entry.split('~')
      return { nonce, mac }
    })
    .filter(({ nonce }) => NONCE.test(nonce))
}

function isOf(key: string, username: string, { nonce, mac }: Entry): boolean {
  const expected = macOf(key, nonce, username)
  const actual = Buffer.from(mac, 'base64url')
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}

/**
 * Returns the device that a cookie proves for a user: the user has signed in from this browser before (OWASP,
 * "Slow Down Online Guessing Attacks with Device Cookies"). The cookie grants no access; a known device only
 * has a limit of its own.
 * @returns the device's nonce; undefined if the cookie is not of this user
 */
export function knownDevice(key: string, cookie: string, username: string): string | undefined {
  return entriesOf(cookie).find((entry) => isOf(key, username, entry))?.nonce
}

/**
 * Returns the cookie of a browser in which a user has just signed in.
 * @param before the browser's present cookie, whose other users are retained
 */
export function deviceCookie(key: string, before: string, username: string): string {
  const entries = entriesOf(before)
  const own = entries.find((entry) => isOf(key, username, entry))
  const nonce = own?.nonce ?? randomBytes(16).toString('base64url')
  const mac = macOf(key, nonce, username).toString('base64url')
  const others = entries.filter((entry) => entry !== own)
  return [{ nonce, mac }, ...others]
    .slice(0, MAX_USERS)
    .map((entry) => `${entry.nonce}~${entry.mac}`)
    .join('.')
}

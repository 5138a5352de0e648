/**
 * Longer than the address of any of our pages. It goes into a `Location`, percent-encoded once more, and a proxy takes no more
 * of an answer's head than 4 KiB by default.
 */
const MAX_LENGTH = 1024

/**
 * Where a sign-in leads: the page that was asked for, if it is one of ours. Resolved as a browser would, which knows more
 * ways to write another host than a pattern does (`//host`, `/\host`, a tab between the slashes, `/.//host`).
 */
export function ownPath(next = '/'): string {
  const base = 'http://silo.invalid'
  const url = URL.canParse(next, base) ? new URL(next, base) : new URL(base)
  const path = url.pathname + url.search
  return url.origin === base && !path.startsWith('//') && path.length <= MAX_LENGTH ? path : '/'
}

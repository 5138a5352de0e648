/**
 * Maximum length of a path. It is longer than the path of any page. The path is percent-encoded once more
 * into a `Location`, and proxies accept 4 KiB of response headers by default.
 */
const MAX_LENGTH = 1024

/**
 * Returns the path and query of `next` if it is on this service, and `/` otherwise: a redirect after sign-in
 * must not lead to another host. `next` is resolved as a browser does it, because there are more ways to
 * write another host than a pattern would catch (`//host`, `/\host`, a tab between the slashes, `/.//host`).
 */
export function ownPath(next = '/'): string {
  const base = 'http://silo.invalid'
  const url = URL.canParse(next, base) ? new URL(next, base) : new URL(base)
  const path = url.pathname + url.search
  return url.origin === base && !path.startsWith('//') && path.length <= MAX_LENGTH ? path : '/'
}

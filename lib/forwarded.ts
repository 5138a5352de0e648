import { canonicalAddress } from './address.js'

/** The address of a client that can't be determined: its socket is closed, or has none. */
const NO_ADDRESS = 'unknown'

/** The origin of a request, as far as trusted proxies attest it. */
export interface Route {
  /** The client's address in canonical form. */
  client: string
  /** The number of trusted proxies that the request has passed: 0 if the peer is not one. */
  proxies: number
}

/** Returns the elements of a list header, without empty ones (RFC 9110, section 5.6.1). */
const elementsOf = (header: string): string[] =>
  header
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')

/**
 * Finds the client of a request: the last address in the chain that is not a trusted proxy. Each address is
 * made canonical before it is compared. If a trusted proxy reports no address (`unknown`), that proxy is the
 * client, and everything further to the left is ignored, because the client may have forged it.
 * @param peer the address of the socket
 * @param forwardedFor the header `X-Forwarded-For`
 * @param isProxy whether a canonical address is one of a trusted proxy
 */
export function findRoute(
  peer: string | undefined,
  forwardedFor: string | undefined,
  isProxy: (address: string) => boolean,
): Route {
  let client = canonicalAddress(peer ?? '') ?? NO_ADDRESS
  let proxies = 0
  const named = elementsOf(forwardedFor ?? '')
  while (isProxy(client)) {
    proxies += 1
    const next = canonicalAddress(named.pop() ?? '')
    if (next === undefined) break
    client = next
  }
  return { client, proxies }
}

/**
 * Returns the element of a list header (`X-Forwarded-Proto`, `X-Forwarded-Host`) that the outermost trusted
 * proxy wrote. Either every proxy appends one, or only the outermost writes one.
 */
export function outermost(header: string | undefined, { proxies }: Route): string | undefined {
  if (proxies === 0 || header === undefined) return undefined
  const elements = elementsOf(header)
  return elements[Math.max(0, elements.length - proxies)]
}

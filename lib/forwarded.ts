import { canonicalAddress } from './address.js'

/** The name of a client whose address nothing tells: its socket is closed, or has none. */
const NO_ADDRESS = 'unknown'

/** Where a request comes from, as far as it is known for certain. */
export interface Route {
  /** The client's address, canonical. */
  client: string
  /** How many trusted proxies the request has passed: 0 where the peer is not one. */
  proxies: number
}

/** The elements of a list header, without empty ones (RFC 9110, section 5.6.1). */
const elementsOf = (header: string): string[] =>
  header
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')

/**
 * Finds the client of a request: the last address on the way that is not one of a trusted proxy. Each address is made canonical
 * before it is judged. Where a trusted proxy names no address (`unknown`), the client is that proxy, and nothing further
 * to the left is believed.
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
 * Returns the element of a list header (`X-Forwarded-Proto`, `X-Forwarded-Host`) that the outermost trusted proxy wrote. Every
 * proxy appends one, or the outermost alone writes one.
 */
export function outermost(header: string | undefined, { proxies }: Route): string | undefined {
  if (proxies === 0 || header === undefined) return undefined
  const elements = elementsOf(header)
  return elements[Math.max(0, elements.length - proxies)]
}

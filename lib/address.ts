import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Max length of a text that is parsed; longer than any address with its zone, its brackets and its port. */
const MAX_LENGTH = 128

/** `[v6]`, with or without a port. Group 1 is the address. */
const BRACKETED = /^\[([^\]]*)\](?::\d{1,5})?$/
/** An address that ends in an IPv4 one (`192.0.2.1`, `::ffff:192.0.2.1`) and a port. */
const DOTTED_WITH_PORT = /^(.*\.\d{1,3}):\d{1,5}$/
/**
 * An unabbreviated IPv6 address and a port: the only form without brackets in which the port can be
 * distinguished from the last group.
 */
const FULL_WITH_PORT = /^((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}$/i

/** Removes what proxies add to an address: quotes, brackets, the port and the zone. */
function bare(text: string): string {
  const unquoted = text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
  for (const form of [BRACKETED, DOTTED_WITH_PORT, FULL_WITH_PORT]) {
    const address = form.exec(unquoted)?.[1]
    if (address !== undefined) return address.split('%', 1)[0] ?? ''
  }
  return unquoted.split('%', 1)[0] ?? ''
}

/**
 * Returns the canonical spelling of an IP address: RFC 5952 for IPv6, dotted decimal for IPv4 and for an
 * IPv4-mapped address. Accepts the forms that proxies send: with a port, in brackets, in quotes, with a zone.
 * Each address has one canonical spelling, so the result can be the key of a limit.
 * @returns undefined for anything else, such as `unknown` and `_hidden` (RFC 7239, section 6)
 */
export function canonicalAddress(text: string): string | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const address = bare(text.trim())
  // Stricter than the library, which also accepts octal and abbreviated IPv4.
  if (isIP(address) === 0) return undefined
  return ipaddr.process(address).toString()
}

/**
 * Returns the network of `bits` bits that contains an IPv6 address, such as `2001:db8:0:1::/64`. An IPv4
 * address, and a text that is not an address, is returned unchanged.
 * @param address as `canonicalAddress` returns it
 */
export function networkOf(address: string, bits: number): string {
  if (isIP(address) !== 6) return address
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${address}/${bits}`).toString()}/${bits}`
}

/** Networks that a list can contain by name. */
const NAMED_NETWORKS: Record<string, readonly string[]> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** The length of the prefix of an IPv4-mapped address, in bits. */
const MAPPED_BITS = 96

interface Network {
  address: string
  bits: number
  family: 'ipv4' | 'ipv6'
}

function parseNetwork(text: string): Network | undefined {
  const [written = '', prefix, ...rest] = text.split('/')
  const width = { 0: 0, 4: 32, 6: 128 }[isIP(written)] ?? 0
  const address = canonicalAddress(written)
  if (address === undefined || width === 0 || rest.length > 0) return undefined
  if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) return undefined
  const bits = prefix === undefined ? width : Number(prefix)
  if (bits > width) return undefined
  if (width === 32) return { address, bits, family: 'ipv4' }
  if (isIP(address) === 6) return { address, bits, family: 'ipv6' }
  return bits < MAPPED_BITS ? undefined : { address, bits: bits - MAPPED_BITS, family: 'ipv4' }
}

/** Whether a text is a network: an address, `address/bits`, `loopback`, `linklocal` or `uniquelocal`. */
export const isNetwork = (text: string): boolean =>
  Object.hasOwn(NAMED_NETWORKS, text) || parseNetwork(text) !== undefined

/**
 * Returns a function that checks whether an address, as `canonicalAddress` returns it, is in one of the
 * networks.
 * @param networks each of which passes `isNetwork`
 */
export function containsAddress(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const text of networks.flatMap((text) => NAMED_NETWORKS[text] ?? [text])) {
    const network = parseNetwork(text)
    if (network) list.addSubnet(network.address, network.bits, network.family)
  }
  return (address) => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}

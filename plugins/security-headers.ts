import fp from 'fastify-plugin'
import { CACHE_CONTROL } from './cache-control.js'

/**
 * The security headers of every response: those of helmet 8, with a policy for an API and for pages that load
 * everything from this origin. `Strict-Transport-Security` depends on PUBLIC_URL (site.ts).
 */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'self';base-uri 'none';form-action 'self';frame-ancestors 'none';object-src 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  // With "no-referrer", browsers send `Origin: null` with the service's own forms, like those of another
  // site.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  // The XSS filters of old browsers could be used to attack a page.
  'x-xss-protection': '0',
}

/**
 * One year: the minimum for browsers' preload lists. Not for subdomains, which may belong to other services.
 */
export const TRANSPORT_SECURITY = { 'strict-transport-security': 'max-age=31536000' }

/**
 * Returns the security headers of a response that bypasses the hooks, and with them the other plugins. Such a
 * response holds JSON and loads nothing.
 */
export const bareHeaders = (isTlsOnly: boolean): Record<string, string> => ({
  ...SECURITY_HEADERS,
  'content-type': 'application/json; charset=utf-8',
  'cache-control': CACHE_CONTROL,
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  ...(isTlsOnly && TRANSPORT_SECURITY),
})

/** Sends these headers with every response, including streams, which are written straight to the socket. */
export default fp(
  async (app) => {
    const headers = new Map(Object.entries(SECURITY_HEADERS))
    app.addHook('onRequest', async (_request, reply) => {
      reply.raw.setHeaders(headers)
    })
  },
  { name: 'security-headers' },
)

import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import fp from 'fastify-plugin'
import helmet from 'helmet'
import { CACHE_CONTROL } from './cache-control.js'

/** What a browser may do with responses: an API, and pages that load everything from this origin. */
const secure = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      'default-src': ["'self'"],
      'base-uri': ["'none'"],
      'form-action': ["'self'"],
      'frame-ancestors': ["'none'"],
      'object-src': ["'none'"],
    },
  },
  // With "no-referrer", browsers send `Origin: null` with the service's own forms, like those of another
  // site.
  referrerPolicy: { policy: 'same-origin' },
  // Sent only if PUBLIC_URL has https addresses alone (site.ts).
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
})

/** Computes the headers once, because they are the same for every response. */
function securityHeaders(): OutgoingHttpHeaders {
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  secure(request, response, (err) => {
    if (err instanceof Error) throw err
  })
  return response.getHeaders()
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
  ...Object.fromEntries(Object.entries(securityHeaders()).map(([name, value]) => [name, String(value)])),
  'content-type': 'application/json; charset=utf-8',
  'cache-control': CACHE_CONTROL,
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  ...(isTlsOnly && TRANSPORT_SECURITY),
})

/**
 * Sends helmet's headers with every response, including streams, which are written straight to the socket.
 */
export default fp(
  async (app) => {
    const headers = new Map(Object.entries(securityHeaders()).map(([name, value]) => [name, String(value)]))
    app.addHook('onRequest', async (_request, reply) => {
      reply.raw.setHeaders(headers)
    })
  },
  { name: 'security-headers' },
)

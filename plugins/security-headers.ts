import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import fp from 'fastify-plugin'
import helmet from 'helmet'
import { CACHE_CONTROL } from './cache-control.js'

/** What a browser may do with the answers: an API, and a few pages that bring all they need from here. */
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
  // "no-referrer" would make browsers send `Origin: null` with our own forms, which then look like another site's.
  referrerPolicy: { policy: 'same-origin' },
  // Only where PUBLIC_URL promises TLS: see site.ts.
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
})

/** The same for every answer: to let helmet write them anew for each was 3.6 % of the work of a read. */
function securityHeaders(): OutgoingHttpHeaders {
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  secure(request, response, (err) => {
    if (err instanceof Error) throw err
  })
  return response.getHeaders()
}

/** For a year, as browsers' lists of such sites ask for at least. Not for subdomains: those are others' to decide. */
export const TRANSPORT_SECURITY = { 'strict-transport-security': 'max-age=31536000' }

/** The protective headers of a response that passes no hook, and so no other plugin's hands: it holds JSON, and nothing to load. */
export const bareHeaders = (isTlsOnly: boolean): Record<string, string> => ({
  ...Object.fromEntries(Object.entries(securityHeaders()).map(([name, value]) => [name, String(value)])),
  'content-type': 'application/json; charset=utf-8',
  'cache-control': CACHE_CONTROL,
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  ...(isTlsOnly && TRANSPORT_SECURITY),
})

/** Sends helmet's headers with every answer, those that are written straight to the socket included. */
export default fp(
  async (app) => {
    const headers = new Map(Object.entries(securityHeaders()).map(([name, value]) => [name, String(value)]))
    app.addHook('onRequest', async (_request, reply) => {
      reply.raw.setHeaders(headers)
    })
  },
  { name: 'security-headers' },
)

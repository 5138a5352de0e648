import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { Site, parseHost, splitTarget } from '../lib/site.js'
import { TRANSPORT_SECURITY } from './security-headers.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The names and origins by which clients reach the service. */
    readonly site: Site
  }
  interface FastifyContextConfig {
    /**
     * Whether the route accepts any `Host`: health checks reach an instance by its address in the internal
     * network.
     */
    anyHost?: boolean
  }
}

const invalidHost = (message: string) => ApiError.invalid('host', message)

/** Counts the `Host` headers of the request; Node parses only the first. */
function countHosts({ raw: { rawHeaders } }: FastifyRequest): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1
  }
  return count
}

/**
 * Returns the hosts that the request names: its `Host`, that of a target in absolute form, and the
 * `X-Forwarded-Host` of a trusted proxy.
 */
function hostsOf(request: FastifyRequest): string[] {
  const { headers, originalUrl, host } = request
  const authority = originalUrl.startsWith('/') ? undefined : splitTarget(originalUrl)?.authority
  const named = [headers.host, authority, host].filter((text) => text !== undefined)
  return [...new Set(named)]
}

/**
 * Refuses requests whose host is not one of the service's names, with `misdirected_request`. A page whose
 * name was made to resolve to this service (DNS rebinding) has the same origin as the service it requests, so
 * only the name distinguishes it from the service's own pages.
 */
export default fp(
  async (app) => {
    const { PUBLIC_URL, HOST, PORT } = app.config
    const site = new Site(PUBLIC_URL, HOST, PORT)
    app.decorate('site', site)

    const transportSecurity = new Map(Object.entries(TRANSPORT_SECURITY))
    app.addHook('onListen', async () => {
      const address = app.server.address()
      // PORT may be 0, which selects a free port.
      if (address !== null && typeof address === 'object') site.port = address.port
    })
    app.addHook('onRequest', (request, reply, done) => {
      if (site.isTlsOnly) reply.raw.setHeaders(transportSecurity)
      const { host } = request.headers
      // RFC 9112, section 3.2. HTTP/1.0 needs no Host.
      if (!host && request.raw.httpVersion === '1.1') throw invalidHost('is required')
      if (countHosts(request) > 1) throw invalidHost('must be given once')
      if (!host || request.routeOptions.config.anyHost) return done()
      for (const text of hostsOf(request)) {
        const named = parseHost(text)
        if (!named) throw invalidHost('must be a host name or an address, with an optional port')
        if (site.accepts(named)) continue
        throw new ApiError('misdirected_request', {
          message:
            `The host "${named.name}" is not a name of this service: use its address, ` +
            'or add the name to PUBLIC_URL.',
          details: [
            { field: 'host', message: 'must be an address, a loopback name or a host of PUBLIC_URL' },
          ],
        })
      }
      done()
    })
  },
  { name: 'site', dependencies: ['forwarded'] },
)

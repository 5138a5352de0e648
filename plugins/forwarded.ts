import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { containsAddress } from '../lib/address.js'
import { type Route, findRoute, outermost } from '../lib/forwarded.js'
import { splitTarget } from '../lib/site.js'

/** Minimum interval between two warnings about an untrusted proxy, in ms. */
const WARN_EVERY_MS = 600_000

const FORWARDED_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto']

/** Returns a header as one list; a header that Node returns as several lines is joined. */
function listOf({ headers }: FastifyRequest, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join() : value
}

/**
 * Reads the `X-Forwarded-…` headers of the proxies in `TRUST_PROXY`. Replaces Fastify's `request.ip`, `ips`,
 * `host` and `protocol`, which use addresses as they are written; Fastify's `trustProxy` must be off.
 */
export default fp(
  async (app) => {
    const isProxy = containsAddress(app.config.TRUST_PROXY)
    const routeOf = (request: FastifyRequest): Route =>
      findRoute(request.socket.remoteAddress, listOf(request, 'x-forwarded-for'), isProxy)
    const forwarded = (request: FastifyRequest, name: string): string | undefined =>
      listOf(request, name) === undefined ? undefined : outermost(listOf(request, name), routeOf(request))

    // The client's address in canonical form, so that it can be the key of a limit.
    app.decorateRequest('ip', {
      getter(this: FastifyRequest) {
        return routeOf(this).client
      },
    })
    app.decorateRequest('ips', {
      getter(this: FastifyRequest) {
        return [this.ip]
      },
    })
    app.decorateRequest('host', {
      getter(this: FastifyRequest) {
        // With a target in absolute form, `Host` is ignored (RFC 9112, section 3.2.2).
        const authority = this.originalUrl.startsWith('/')
          ? undefined
          : splitTarget(this.originalUrl)?.authority
        return forwarded(this, 'x-forwarded-host') ?? authority ?? this.headers.host ?? ''
      },
    })
    app.decorateRequest('protocol', {
      getter(this: FastifyRequest) {
        return forwarded(this, 'x-forwarded-proto')?.toLowerCase() === 'https' ? 'https' : 'http'
      },
    })

    let quietUntil = 0
    app.addHook('onRequest', (request, _reply, done) => {
      const sent = FORWARDED_HEADERS.filter((name) => request.headers[name] !== undefined)
      if (sent.length > 0 && performance.now() >= quietUntil && routeOf(request).proxies === 0) {
        quietUntil = performance.now() + WARN_EVERY_MS
        request.log.warn(
          { peer: request.ip, headers: sent },
          'ignored forwarded headers from an address that TRUST_PROXY does not list: ' +
            'if a proxy has this address, add it to TRUST_PROXY',
        )
      }
      done()
    })
  },
  { name: 'forwarded' },
)

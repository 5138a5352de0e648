import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { RouteMethods } from '../lib/route-methods.js'

/**
 * Refuses requests for which there is no route before their body is read: with 405 and `Allow` if the path
 * has routes for other methods (RFC 9110, section 15.5.6), otherwise with 404.
 */
export default fp(
  async (app) => {
    const routes = new RouteMethods()
    app.addHook('onRoute', ({ method, url }) => routes.add([method].flat(), url))
    app.addHook('onRequest', async ({ is404, method, url }) => {
      if (!is404) return
      const allowed = routes.at(url.split('?', 1)[0] ?? '')
      if (allowed.length === 0) throw new ApiError('not_found')
      const list = allowed.join(', ')
      throw new ApiError('method_not_allowed', {
        message: `This path does not accept ${method}; it accepts ${list}.`,
        headers: { allow: list },
      })
    })
  },
  { name: 'unknown-addresses' },
)

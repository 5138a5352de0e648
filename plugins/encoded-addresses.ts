import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { findEncodingFault } from '../lib/encoded-address.js'

/** Refuses a URL that is not percent-encoded text: Fastify would take an invalid "%" literally. */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => {
      const fault = findEncodingFault(request.url)
      if (fault) throw ApiError.invalid(fault.field, fault.message)
      done()
    })
  },
  { name: 'encoded-addresses' },
)

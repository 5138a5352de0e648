import fp from 'fastify-plugin'
import { ApiError } from '../errors.js'
import { findEncodingFault } from '../lib/encoded-address.js'

/** Refuses an address that is not text: Fastify would take a "%" that begins no character for itself. */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, _reply, done) => {
      const fault = findEncodingFault(request.url)
      if (fault) throw new ApiError('invalid_request', { details: [fault] })
      done()
    })
  },
  { name: 'encoded-addresses' },
)

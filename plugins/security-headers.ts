import helmet from '@fastify/helmet'
import fp from 'fastify-plugin'

/** What a browser may do with the answers: an API, and a few pages that bring all they need from here. */
export default fp(
  async (app) => {
    await app.register(helmet, {
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
      // Promised by whoever ends the TLS; from here it could lock a host out of plain HTTP for a year.
      strictTransportSecurity: false,
      xFrameOptions: { action: 'deny' },
    })
  },
  { name: 'security-headers' },
)

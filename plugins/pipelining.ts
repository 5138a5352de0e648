import fp from 'fastify-plugin'
import { Turns } from '../lib/turns.js'

/** Maximum number of requests of one connection that are being handled or whose responses wait to be read. */
const MAX_OF_CONNECTION = 16

/**
 * Limits how many requests of one connection are handled at a time. A client may pipeline thousands without
 * reading a response (RFC 9112, section 9.3.2), and Node parses all that one read of the socket returns. A
 * request that waits costs no more than its own memory.
 */
export default fp(
  async (app) => {
    const turns = new Turns(MAX_OF_CONNECTION)
    app.addHook('onRequest', ({ raw: { socket } }, _reply, done) => turns.begin(socket, done))
    app.addHook('onResponse', ({ raw: { socket } }, _reply, done) => {
      turns.end(socket)
      done()
    })
  },
  { name: 'pipelining', dependencies: ['handler-timeout'] },
)

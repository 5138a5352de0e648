import fp from 'fastify-plugin'
import { Turns } from '../lib/turns.js'

/** How many requests of one connection are worked on, or wait for their responses to be read, at a time. */
const MAX_OF_CONNECTION = 16

/**
 * Begins a request only when few of its connection are unanswered. A client may send thousands at once without reading a
 * response (RFC 9112, section 9.3.2), and Node parses all that one read of the socket brings. Those that wait cost no more
 * than themselves.
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

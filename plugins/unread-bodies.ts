import fp from 'fastify-plugin'

/** How long what is still to come is read, after the answer, before the connection is cut, in ms. */
export const LINGER_MS = 3000

/**
 * Reads on where a request was answered before all of it had come. Closing at once would reset the connection while the client
 * still sends, and a reset takes the answer from it; and whoever sends byte by byte must not keep the connection for ever.
 */
export default fp(
  async (app) => {
    app.addHook('onResponse', async ({ raw }) => {
      if (raw.complete || raw.destroyed) return
      const cut = setTimeout(() => raw.destroy(), LINGER_MS).unref()
      for (const over of ['end', 'close']) raw.once(over, () => clearTimeout(cut))
      // An iterator that was left while it waited still listens, and would hold the flow.
      raw.removeAllListeners('readable')
      raw.on('data', () => undefined).resume()
    })
  },
  { name: 'unread-bodies' },
)

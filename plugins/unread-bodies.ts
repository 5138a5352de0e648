import fp from 'fastify-plugin'

/** How long the rest of a body is read after the response, before the connection is closed, in ms. */
export const LINGER_MS = 3000

/**
 * Drains the rest of a request body after an early response. Closing at once would send a TCP reset while the
 * client is still sending, and the client would lose the response. The time is limited, so that a slow client
 * can't hold the connection open.
 */
export default fp(
  async (app) => {
    app.addHook('onResponse', async ({ raw }) => {
      if (raw.complete || raw.destroyed) return
      const timer = setTimeout(() => raw.destroy(), LINGER_MS).unref()
      for (const over of ['end', 'close']) raw.once(over, () => clearTimeout(timer))
      // An abandoned async iterator keeps its `readable` listener, which would keep the stream paused.
      raw.removeAllListeners('readable')
      raw.on('data', () => undefined).resume()
    })
  },
  { name: 'unread-bodies' },
)

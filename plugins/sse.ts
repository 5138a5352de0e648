import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    readonly sse: { look(): void; readonly head: string }
  }
}

export default fp(
  async (app) => {
    app.decorate('sse', { look: () => undefined, head: '' })
  },
  { name: 'sse' },
)

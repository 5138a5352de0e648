import type { Server } from 'node:http'

/** Listens on any free port, prints the port, and exits on SIGTERM. */
export function listenAndTell(server: Server): void {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => {
    const address = server.address()
    if (address !== null && typeof address !== 'string') console.log(`port ${address.port}`)
  })
  process.once('SIGTERM', () => process.exit())
}

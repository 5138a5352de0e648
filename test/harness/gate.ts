import { type Socket, connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/**
 * A TCP proxy in front of a database that a test can block (no byte passes, no connection ends) and open
 * again.
 */
export interface Gate {
  /** The address of the same database through the gate. */
  databaseUrl: string
  block(): void
  open(): void
}

export async function createGate(t: Test, databaseUrl: string): Promise<Gate> {
  const { hostname, port } = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let blocked = false

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      if (blocked) from.unpipe(to).pause()
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    databaseUrl: url.href,
    block() {
      blocked = true
      for (const socket of sockets) socket.unpipe().pause()
    },
    open() {
      blocked = false
      // Connections that hung are destroyed, so that their clients open new ones, as after a real outage.
      for (const socket of sockets) socket.destroy()
    },
  }
}

import { once } from 'node:events'
import { type Server, type Socket, connect, createServer } from 'node:net'
import { freePort } from '../harness/ports.js'

/** A TCP proxy that resets connections, or silently stops forwarding, as networks do. */
export class Proxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #swallowing = false

  private constructor(
    readonly port: number,
    targetPort: () => number,
  ) {
    this.#server = createServer((client) => {
      const server = connect(targetPort(), '127.0.0.1')
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from)
        if (this.#swallowing) from.pause()
        from.on('data', (bytes) => {
          if (!to.write(bytes)) from.pause()
        })
        to.on('drain', () => {
          if (!this.#swallowing) from.resume()
        })
        from.on('error', () => to.destroy())
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
      }
    })
  }

  /** Opens a proxy to a port of 127.0.0.1. `targetPort` is called for each connection. */
  static async open(targetPort: () => number): Promise<Proxy> {
    const proxy = new Proxy(await freePort(), targetPort)
    proxy.#server.listen(proxy.port, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** Resets every connection, possibly in the middle of a frame. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Keeps every connection open and forwards nothing until `heal`, which resets them. */
  swallow(): void {
    this.#swallowing = true
    for (const socket of this.#sockets) socket.pause()
  }

  heal(): void {
    this.#swallowing = false
    this.cut()
  }

  close(): void {
    this.#server.close()
    this.cut()
  }
}

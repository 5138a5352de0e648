import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'
import type { Test } from 'tap'

/** A proxy in front of the service or its database that simulates failures of the network. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #port: number | undefined
  #frozen = false
  #refusing = false
  /** The number of connections that were refused. */
  refused = 0

  private constructor(target: { host: string; port: number }) {
    this.#server = createServer((client) => {
      if (this.#refusing) {
        this.refused++
        client.destroy()
        return
      }
      const server = connect(target)
      const pair = [client, server] as const
      this.#pairs.add(pair)
      for (const [from, to] of [pair, [server, client]] as const) {
        from.on('data', (bytes) => to.write(bytes))
        from.on('error', () => to.destroy())
        from.on('close', () => {
          to.destroy()
          this.#pairs.delete(pair)
        })
        if (this.#frozen) from.pause()
      }
    })
  }

  /** Opens a proxy to the server of `url`. */
  static async open(t: Test, url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url)
    const proxy = new TcpProxy({ host: hostname, port: Number(port) })
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.teardown(() => {
      proxy.#server.close()
      proxy.cut()
    })
    return proxy
  }

  /** Returns `url` with the proxy in place of its server. */
  through(url: string): string {
    const through = new URL(url)
    through.host = `127.0.0.1:${this.port}`
    return through.href
  }

  get port(): number {
    this.#port ??= (this.#server.address() as AddressInfo).port
    return this.#port
  }

  /** Destroys every connection and stops listening, as when the server's process is killed. */
  async stop(): Promise<void> {
    const { port } = this
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
    this.#port = port
  }

  /** Listens again at the same port. */
  async start(): Promise<void> {
    await once(this.#server.listen(this.port, '127.0.0.1'), 'listening')
  }

  /** Destroys every connection. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.destroy()
      server.destroy()
    }
  }

  /** Resets every connection (TCP RST), which both ends see as an error. */
  reset(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy()
  }

  /** Destroys every connection and refuses new ones. */
  refuse(): void {
    this.#refusing = true
    this.cut()
  }

  /** Keeps the connections open and forwards nothing: a black hole. */
  freeze(): void {
    this.#frozen = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }

  /** Accepts new connections and forwards again, after `refuse` or `freeze`. */
  heal(): void {
    this.#refusing = false
    this.#frozen = false
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }
}

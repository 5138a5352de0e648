import { Socket } from 'node:net'

/**
 * A socket whose `close` follows its `error` at once. Node lets some time pass between the two, and the driver takes the
 * session for usable in that time: a query sent then is never answered, or is answered with the nothing that the session's
 * next greeting consists of.
 */
class PromptSocket extends Socket {
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const heard = super.emit(event, ...args)
    if (event === 'error') super.emit('close', true)
    return heard
  }
}

/** What the driver says of the server: lists, of which ours have one entry. */
interface Address {
  host: string[]
  port: number[]
  path?: string | false
}

/** Opens the driver's socket. It may be written to at once; what is written waits for the connection. */
export function openSocket({ host, port, path }: Address): Socket {
  const socket = new PromptSocket()
  // The name that a TLS certificate is checked against.
  Object.assign(socket, { host: host[0], port: port[0] })
  return path ? socket.connect(path) : socket.connect(port[0] ?? 5432, host[0] ?? 'localhost')
}

import type { Socket } from 'node:net'

/**
 * The callbacks of each socket. A socket has one listener, because a client may send many requests at once.
 */
const callbacks = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `act` once when the socket closes, at once if it has closed. The `close` event of a response does not
 * suffice: a pipelined response that waits for those before it has no socket yet, and does not close with the
 * connection.
 * @returns a function that removes the callback
 */
export function onDisconnect(socket: Socket, act: () => void): () => void {
  if (socket.destroyed) {
    act()
    return () => undefined
  }
  const all = callbacks.get(socket) ?? watch(socket)
  all.add(act)
  return () => void all.delete(act)
}

function watch(socket: Socket): Set<() => void> {
  const all = new Set<() => void>()
  callbacks.set(socket, all)
  socket.once('close', () => {
    for (const act of all) act()
    all.clear()
  })
  return all
}

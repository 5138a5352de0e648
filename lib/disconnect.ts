import type { Socket } from 'node:net'

/** What is called for each socket once it closes. One listener a socket: a client may send many requests at once. */
const callbacks = new WeakMap<Socket, Set<() => void>>()

/**
 * Calls `act` once when the socket closes, at once if it has. The close of a response tells less: one that waits behind others of
 * its connection has no socket yet, and is not closed with it.
 * @returns what takes that back
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

import { Connection } from './connection.js'

const connection = new Connection()

addEventListener('connect', (event) => {
  const [port] = event instanceof MessageEvent ? event.ports : []
  if (port) connection.accept(port)
})

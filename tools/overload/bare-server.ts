/**
 * The least that a server of event streams in Node does when clients reconnect: no authorisation, no
 * database, no filter. It responds to each request with the same frames, and keeps the stream open.
 *
 * Arguments: the number of frames, and the id of the last one. Prints its port.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const [count = 0, last = 0] = process.argv.slice(2).map(Number)
const frames = Array.from({ length: count }, (_, i) => {
  const data = JSON.stringify({ part_number: `missed-${i}`, at: new Date(0).toISOString() })
  return `id: bare-${last - count + i + 1}-0\nevent: item.created\ndata: ${data}\n\n`
}).join('')

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.write(frames)
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 16_384 }, () => {
  console.log(`port ${(server.address() as AddressInfo).port}`)
})

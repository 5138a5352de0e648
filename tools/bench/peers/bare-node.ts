/**
 * A minimal server of event streams in Node: a list of responses and a loop, with no library, no
 * authorisation and no log. It writes to the responses, as servers usually do. With the argument `socket`, it
 * encodes each chunk once and writes it directly to the sockets, which is the limit of a service in Node.
 */
import { type ServerResponse, createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { listenAndTell } from './peer.js'

const straight = process.argv[2] === 'socket'
const watchers = new Set<ServerResponse>()
/** When each event was published: the time of day in ms. */
const times: number[] = []

function publish(data: string): void {
  times.push(performance.timeOrigin + performance.now())
  const frame = Buffer.from(`id: 64bd730d-${times.length}\nevent: item.created\ndata: ${data}\n\n`)
  if (!straight) {
    for (const response of watchers) response.write(frame)
    return
  }
  const coded = Buffer.concat([Buffer.from(`${frame.length.toString(16)}\r\n`), frame, Buffer.from('\r\n')])
  for (const { socket } of watchers) socket?.write(coded)
}

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    void text(request).then((data) => {
      response.writeHead(202).end()
      publish(data)
    })
    return
  }
  if (request.url === '/times') {
    response.end(JSON.stringify(times))
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  watchers.add(response)
  response.once('close', () => watchers.delete(response))
})
listenAndTell(server)

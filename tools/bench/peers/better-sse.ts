/** better-sse behind `node:http`, with one channel for all subscribers. */
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { createChannel, createSession } from 'better-sse'
import { listenAndTell } from './peer.js'

const channel = createChannel()
let serial = 0

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    void text(request).then((data) => {
      response.writeHead(202).end()
      channel.broadcast(JSON.parse(data), 'item.created', { eventId: `64bd730d-${++serial}` })
    })
    return
  }
  void createSession(request, response).then((session) => channel.register(session))
})
listenAndTell(server)

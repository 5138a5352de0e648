/**
 * A minimal second instance: it writes the payload of each `NOTIFY` to every subscriber. Its argument is the
 * URL of the database.
 */
import { type ServerResponse, createServer } from 'node:http'
import { connect } from '../../../store/driver/connect.js'
import { listenAndTell } from './peer.js'

const watchers = new Set<ServerResponse>()
let serial = 0

const sql = connect(process.argv[2] ?? '', 1)
await sql.listen('bench', (data) => {
  const frame = Buffer.from(`id: 64bd730d-${++serial}\nevent: item.created\ndata: ${data}\n\n`)
  for (const response of watchers) response.write(frame)
})

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  watchers.add(response)
  response.once('close', () => watchers.delete(response))
})
listenAndTell(server)

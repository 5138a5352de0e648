import { once } from 'node:events'
import { type Server, type ServerResponse, createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t, { type Test } from 'tap'
import { Block } from '../../feed/frame.js'
import { ResponseSink } from '../../feed/sink.js'
import { eventually } from '../../tools/harness/eventually.js'

/** How many bytes a socket may buffer before it counts as full. */
const FULL = 16 * 1024
const BLOCK = Block.fromText('x'.repeat(4000))
const LARGE = Block.fromText('x'.repeat(FULL + 1))

/**
 * Opens a stream to a client that reads nothing until it is resumed. `state` counts the drains. Once the
 * socket has closed, it also contains whether the stream stalled.
 */
async function open(t: Test, stallMs: number) {
  const server: Server = createServer({ highWaterMark: FULL }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.on('error', () => undefined)
  client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  client.pause()
  const response = await new Promise<ServerResponse>((resolve) =>
    server.once('request', (_request, response) => resolve(response)),
  )
  const { socket } = response
  if (!socket) throw new Error('no socket')
  const sink = new ResponseSink(socket, true, { endGraceMs: 1000, stallMs })
  const state: { stalled: boolean | undefined; drains: number } = { stalled: undefined, drains: 0 }
  sink.watch(response, { onDrain: () => state.drains++, onClose: (stalled) => (state.stalled = stalled) })
  /** Writes until the kernel accepts no more. */
  const fill = async () => {
    while (socket.writableLength === 0) {
      sink.write(BLOCK)
      await new Promise(setImmediate)
    }
  }
  return { client, socket, sink, state, fill }
}

t.test('a sink is full from when its socket buffers too much until it has drained', async (t) => {
  const { client, sink, state, fill } = await open(t, 60_000)
  sink.write(LARGE)
  t.equal(sink.isFull, false, 'the kernel accepted all of it')
  await fill()
  t.equal(sink.isFull, false, 'little is buffered')
  const { drains } = state
  sink.write(LARGE)
  t.equal(sink.isFull, true)
  client.resume()
  await eventually('it drains', () => state.drains > drains)
  t.equal(sink.isFull, false)
})

t.test('a client that reads nothing is disconnected, even if little is buffered for it', async (t) => {
  const { socket, state, fill } = await open(t, 500)
  await fill()
  t.equal(socket.writableNeedDrain, false, 'the socket would take more')
  await eventually('the stream is closed', () => state.stalled !== undefined, { timeoutMs: 10_000 })
  t.equal(state.stalled, true)
})

t.test('a client that reads a little at times, or has nothing to read, is not disconnected', async (t) => {
  const stallMs = 500
  const { client, socket, state, fill } = await open(t, stallMs)
  const began = performance.now()
  while (performance.now() - began < 4 * stallMs) {
    await fill()
    client.resume()
    await eventually(
      'it has taken something',
      () => socket.writableLength === 0 || state.stalled !== undefined,
    )
    client.pause()
  }
  t.equal(state.stalled, undefined)
  client.resume()
  const quiet = performance.now()
  await eventually(
    'two stall timeouts have passed',
    () => performance.now() - quiet > 2 * stallMs || state.stalled !== undefined,
  )
  t.equal(state.stalled, undefined)
})

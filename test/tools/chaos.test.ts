import { once } from 'node:events'
import { type ServerResponse, createServer } from 'node:http'
import { type AddressInfo } from 'node:net'
import t from 'tap'
import { within } from '../../lib/deadline.js'
import { EVERYTHING, StreamWatcher } from '../../tools/chaos/watchers.js'
import { Random } from '../../tools/harness/random.js'

t.test('a subscriber that is stopped before its response arrives does not read it', async (t) => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const requested = once(server, 'request') as Promise<[unknown, ServerResponse]>
  const subscriber = new StreamWatcher(
    'plain',
    [{ origin: () => `http://127.0.0.1:${port}` }],
    { name: 'plain' },
    EVERYTHING,
    { token: '', mustBeShutOut: false },
    new Random(1),
  )
  const [, response] = await requested
  const stopped = subscriber.stop()
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': the stream begins\n\n')
  await within(10_000, stopped)
  t.equal(subscriber.connections, 0)
})

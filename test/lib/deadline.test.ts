import { once } from 'node:events'
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { within } from '../../lib/deadline.js'

t.test('work that does not finish before its deadline is rejected', async (t) => {
  await t.rejects(within(10, new Promise(() => undefined)), { code: 'NO_ANSWER' })
})

t.test('time in which this process was blocked does not count against the deadline', async (t) => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer((socket) =>
       socket.on('data', (data) => setTimeout(() => socket.write(data), 20)))
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`,
    { eval: true },
  )
  t.teardown(() => worker.terminate())
  const [port] = (await once(worker, 'message')) as [number]
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  // Run all other pending callbacks, so that the block below is all that happens before the timer.
  await new Promise(setImmediate)
  const answer = within(1000, once(socket, 'data'))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000)
  // The request is sent only now, after its deadline would have passed.
  socket.write('a')
  t.equal(String(await answer), 'a')
})

import { compile } from './harness/compile.js'
import { startPostgres } from './harness/postgres.js'
import { familyOf, processorTime } from './harness/processes.js'
import type { Figures, Question, Side } from './harness/question.js'
import type { Scope } from './harness/scope.js'
import {
  type StreamServer,
  startNchan,
  startNodeStream,
  startSender,
  startSiloStream,
} from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

/** Deliveries before the clock starts, for the compilers of Node and the growth of buffers. */
const WARM_UP = 100_000
const MEASURED = 400_000

/** Publishes the next event as soon as the first watcher has the last one, and gives back the deliveries per second. */
async function measure(
  scope: Scope,
  program: string,
  server: StreamServer,
  connections: number,
): Promise<Figures> {
  const warm = Math.ceil(scope.size(WARM_UP, 20_000) / connections)
  const events = warm + Math.ceil(scope.size(MEASURED, 50_000) / connections)
  const { port, request } = server
  const watchers = await Watchers.open(scope, { program, port, requests: [request], connections, events })
  const pids = await familyOf(server.pid)
  let busyBefore = NaN
  const failed = new Promise<never>((_resolve, reject) => {
    const publish = (serial: number) => server.publish(serial).catch(reject)
    watchers.onFirst((received) => {
      if (received < events) void publish(received + 1)
      if (received === warm) processorTime(pids).then((ms) => (busyBefore = ms), reject)
    })
    void publish(1)
  })
  const { last } = await Promise.race([watchers.done(), failed])
  const busy = (await processorTime(pids)) - busyBefore
  const seconds = ((last.at(-1) ?? NaN) - (last[warm - 1] ?? NaN)) / 1000
  const measured = connections * (events - warm)
  return { deliveries: measured / seconds, 'processor time a delivery': (busy * 1000) / measured }
}

const to = (connections: number): Question => ({
  title: `Deliveries to ${connections.toLocaleString('en')} watchers, one event a write`,
  method:
    'Events that reach a watcher, per second, all watchers together. The next event is published as soon as the first watcher has the ' +
    'last one: so while one event is being written to all the others, exactly one waits, and none shares a write. ' +
    'Into the service by an `insert` of a session that is not its own, with triggers, log, notification, cursors and authorised ' +
    'watchers; into the others by `POST`. The clock runs from the end of the warm-up to the last event at the last watcher. ' +
    'The processor time is the server’s own, in user and kernel mode: it says the same on a machine that does other things besides.',
  metrics: [
    { name: 'deliveries', unit: '/s', better: 'higher' },
    { name: 'processor time a delivery', unit: 'µs', better: 'lower' },
  ],
  targets: [
    { metric: 'deliveries', side: 'Silo', goal: { ratio: 1.15, to: { side: 'Nchan' } } },
    { metric: 'deliveries', side: 'Silo', goal: { ratio: 1.7, to: { side: 'better-sse' } } },
  ],
  async sides(scope) {
    const program = await compile(scope, 'bench/harness/watchers.c')
    const sender = await compile(scope, 'bench/peers/sender.c')
    const postgres = await startPostgres(scope)
    const side = (name: string, start: (inner: Scope) => Promise<StreamServer>): Side => ({
      name,
      measure: async (inner) => measure(inner, program, await start(inner), connections),
    })
    return [
      side('Silo', (inner) => startSiloStream(inner, postgres)),
      side('Nchan', (inner) => startNchan(inner)),
      side('better-sse', (inner) => startNodeStream(inner, 'better-sse')),
      side('@fastify/sse', (inner) => startNodeStream(inner, 'fastify-sse')),
      side('bare node:http', (inner) => startNodeStream(inner, 'bare-node')),
      side('bare sockets of Node', (inner) => startNodeStream(inner, 'bare-node', 'socket')),
      side('a loop in C', (inner) => startSender(inner, sender, connections)),
    ]
  },
})

const deliveries: readonly Question[] = [to(1000), to(5000), to(10_000)]

export default deliveries

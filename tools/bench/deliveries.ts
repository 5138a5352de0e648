import { compile } from './harness/compile.js'
import { startPostgres } from '../harness/postgres.js'
import { familyOf, processorTime } from './harness/processes.js'
import type { Figures, Question, Side } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { quantile } from './harness/statistics.js'
import {
  type StreamServer,
  startNchan,
  startNodeStream,
  startSender,
  startSiloStream,
} from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

/** Number of deliveries before a measurement, in which Node compiles its hot code and buffers grow. */
const WARM_UP = 100_000
const MEASURED = 400_000
/** Number of deliveries with one event at a time. They take some seconds, to average out other load. */
const SINGLE = 300_000

/**
 * Measures the deliveries of one server. At first, each event is published as soon as the first subscriber
 * has received the previous one. Later, each is published as soon as the last subscriber has received the
 * previous one, so that no two events share a write.
 */
async function measure(
  scope: Scope,
  program: string,
  server: StreamServer,
  connections: number,
): Promise<Figures> {
  const warm = Math.ceil(scope.size(WARM_UP, 20_000) / connections)
  const busy = warm + Math.ceil(scope.size(MEASURED, 50_000) / connections)
  // A server that shared writes until now has made few of them, and needs another warm-up.
  const single = busy + warm
  const events = single + Math.ceil(scope.size(SINGLE, 50_000) / connections)
  const { port, request } = server
  const watchers = await Watchers.open(scope, { program, port, requests: [request], connections, events })
  const pids = await familyOf(server.pid)
  let [before, after] = [NaN, NaN]
  const failed = new Promise<never>((_resolve, reject) => {
    const publish = (serial: number) => server.publish(serial).catch(reject)
    watchers.onProgress((who, received) => {
      if (who === (received < busy ? 'first' : 'all') && received < events) void publish(received + 1)
      if (who === 'first' && received === warm) processorTime(pids).then((ms) => (before = ms), reject)
      if (who === 'all' && received === busy) processorTime(pids).then((ms) => (after = ms), reject)
    })
    void publish(1)
  })
  const { first, last } = await Promise.race([watchers.done(), failed])
  const seconds = ((last[busy - 1] ?? NaN) - (last[warm - 1] ?? NaN)) / 1000
  const measured = connections * (busy - warm)
  const sweeps = last.slice(single).map((end, index) => end - (first[single + index] ?? NaN))
  return {
    deliveries: measured / seconds,
    'deliveries, one event a write': (connections * 1000) / quantile(sweeps, 0.5),
    'processor time per delivery': ((after - before) * 1000) / measured,
  }
}

const to = (connections: number): Question => ({
  title: `Deliveries to ${connections.toLocaleString('en')} subscribers`,
  method:
    'Events that subscribers receive per second, all subscribers together. The next event is published ' +
    'when the first subscriber has received the last one, so exactly one is pending while another is being ' +
    'written; a server that writes all pending events at once writes more than one. Published to Silo by ' +
    'an `insert` over another database connection, with triggers, log, notification, cursors and ' +
    'authorised subscribers; to the others by `POST`. Measured from the end of the warm-up until the last ' +
    'subscriber has received the last event. One event a write: the next event is published when the last ' +
    'subscriber has received the last one; measured, after a warm-up of the same length, is the time from ' +
    'the first subscriber to the last, as the median of the events. The processor time is that of the ' +
    'server, in user and kernel mode, so other load hardly changes it.',
  rounds: 5,
  metrics: [
    { name: 'deliveries', unit: '/s', better: 'higher' },
    { name: 'deliveries, one event a write', unit: '/s', better: 'higher' },
    { name: 'processor time per delivery', unit: 'µs', better: 'lower' },
  ],
  targets: [
    ...['deliveries', 'deliveries, one event a write'].flatMap((metric) => [
      { metric, side: 'Silo', goal: { ratio: 1.15, to: { side: 'Nchan' } } },
      { metric, side: 'Silo', goal: { ratio: 1.7, to: { side: 'better-sse' } } },
    ]),
  ],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const sender = await compile(scope, 'tools/bench/peers/sender.c')
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

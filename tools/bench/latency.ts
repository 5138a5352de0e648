import { compile } from './harness/compile.js'
import { QUANTILES, commitTimes, latencies } from './harness/latency.js'
import { publishPaced } from './harness/paced.js'
import { startPostgres } from '../harness/postgres.js'
import type { Question, Side } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import {
  type StreamServer,
  createItem,
  startNchan,
  startNodeStream,
  startSiloStream,
} from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

const PER_SECOND = 200
const CONNECTIONS = 1000

const latency: Question = {
  title: 'Commit to last subscriber, 200 changes a second, 1,000 subscribers',
  method:
    'Changes come at a fixed rate, whether or not the server keeps up: 200,000 deliveries a second are ' +
    'near the limit of one process. Silo receives each as `POST /api/items`, measured from the timestamp ' +
    'that PostgreSQL records for the commit, before its flush (`track_commit_timestamp`). The bare server ' +
    'receives the same `POST`, measured from when it has read it; Nchan is measured from when the `POST` ' +
    'is sent. The end is when the last of the 1,000 subscribers has received the event.',
  rounds: 5,
  metrics: QUANTILES,
  targets: [{ metric: 'p99', side: 'Silo', goal: { ratio: 2, to: { side: 'bare node:http' } } }],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope, { track_commit_timestamp: 'on' })
    const seconds = scope.size(12, 3)
    const events = PER_SECOND * seconds
    const side = <T extends StreamServer>(
      name: string,
      start: (inner: Scope) => Promise<T>,
      publisherOf: (server: T, inner: Scope) => (serial: number) => Promise<unknown>,
      beginnings: (server: T, called: number[]) => Promise<number[]> | number[],
    ): Side => ({
      name,
      async measure(inner) {
        const server = await start(inner)
        const { port, request } = server
        const watchers = await Watchers.open(inner, {
          program,
          port,
          requests: [request],
          connections: CONNECTIONS,
          events,
        })
        const called = await publishPaced(publisherOf(server, inner), events, PER_SECOND)
        const { last } = await watchers.done()
        return latencies(await beginnings(server, called), last, events / seconds)
      },
    })
    const publisher = ({ publish }: StreamServer) => publish
    return [
      side(
        'Silo',
        (inner) => startSiloStream(inner, postgres),
        (silo, inner) => createItem(inner, silo),
        ({ database }) => commitTimes(database, 'events'),
      ),
      side('bare node:http', (inner) => startNodeStream(inner, 'bare-node'), publisher, publishTimes),
      side('Nchan', startNchan, publisher, (_server, called) => called),
    ]
  },
}

/** Returns when the bare server had read each of its `POST` requests, by the time of day in ms. */
async function publishTimes({ port }: StreamServer): Promise<number[]> {
  const response = await fetch(`http://127.0.0.1:${port}/times`)
  return (await response.json()) as number[]
}

export default latency

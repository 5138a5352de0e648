import { setTimeout as delay } from 'node:timers/promises'
import { compile } from './harness/compile.js'
import { startPostgres } from '../harness/postgres.js'
import { familyOf, memoryOf, processorTime } from './harness/processes.js'
import type { Question, Side } from './harness/question.js'
import type { Scope } from '../harness/scope.js'
import { type StreamServer, startNodeStream, startSiloStream } from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

const idle: Question = {
  title: '10,000 idle subscribers',
  method:
    'Memory that 10,000 subscribers add to the server (proportional set size in /proc, including garbage), ' +
    'and the share of one core that the server uses for them in half a minute, which begins half a minute ' +
    'after the last has connected. For Silo this includes a heartbeat to each, reads of the log and checks ' +
    'of access; the bare server sends no heartbeats.',
  metrics: [
    { name: 'memory per subscriber', unit: 'KiB', better: 'lower' },
    { name: 'processor', unit: '% of a core', better: 'lower' },
  ],
  targets: [
    { metric: 'memory per subscriber', side: 'Silo', goal: { ratio: 1.15, to: { side: 'bare node:http' } } },
    { metric: 'processor', side: 'Silo', goal: { value: 3 } },
  ],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope)
    const connections = scope.size(10_000, 1000)
    const quietMs = scope.size(30_000, 3000)
    const side = (name: string, start: (inner: Scope) => Promise<StreamServer>): Side => ({
      name,
      async measure(inner) {
        const { port, pid, request } = await start(inner)
        const pids = await familyOf(pid)
        const before = await memoryOf(pids)
        await Watchers.open(inner, { program, port, requests: [request], connections, events: 0 })
        // The start of the streams, and the garbage collection after it, are not part of the idle time.
        await delay(quietMs)
        const busyBefore = await processorTime(pids)
        await delay(quietMs)
        const busy = (await processorTime(pids)) - busyBefore
        const memory = (await memoryOf(pids)) - before
        return { 'memory per subscriber': memory / connections / 1024, processor: (100 * busy) / quietMs }
      },
    })
    return [
      side('Silo', (inner) => startSiloStream(inner, postgres)),
      side('bare node:http', (inner) => startNodeStream(inner, 'bare-node')),
    ]
  },
}

export default idle

import { compile } from './harness/compile.js'
import { startPostgres } from '../harness/postgres.js'
import type { Question, Side } from './harness/question.js'
import { importRows, siloRequest, startSiloStream } from './harness/streams.js'
import { median } from './harness/statistics.js'
import { Watchers } from './harness/watchers.js'

const connections = 1000
const FILTERS = 100
/** Number of sequential imports. A burst is short, and its figure varies much from one to the next. */
const IMPORTS = 7

const filters: Question = {
  title: 'Deliveries through 100 different filters, 10 subscribers each',
  method:
    'Seven imports of 10,000 rows, one after the other, to 1,000 subscribers. Each filter matches all of ' +
    'these items and one other item that is never created, so both sides deliver the same events. The same ' +
    'bytes are written to all subscribers, and shared; filters that match different events would each need ' +
    'a copy. Measured from the first event of an import at the first subscriber until the last event at ' +
    'the last one; the figure is the median of the imports.',
  metrics: [{ name: 'deliveries', unit: '/s', better: 'higher' }],
  targets: [{ metric: 'deliveries', side: '100 filters', goal: { ratio: 0.7, to: { side: 'unfiltered' } } }],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope)
    const side = (name: string, queries: readonly string[]): Side => ({
      name,
      async measure(inner) {
        const silo = await startSiloStream(inner, postgres)
        const events = inner.size(10_000, 2000)
        const requests = queries.map((query) => siloRequest(silo, query))
        const watchers = await Watchers.open(inner, {
          program,
          port: silo.port,
          requests,
          connections,
          events: IMPORTS * events,
        })
        for (let n = 0; n < IMPORTS; n++) {
          const arrived = watchers.allHave((n + 1) * events)
          await importRows(inner, silo, events, n * events + 1)
          await arrived
        }
        const { first, last } = await watchers.done()
        const bursts = Array.from({ length: IMPORTS }, (_import, n) => {
          const ms = (last[(n + 1) * events - 1] ?? NaN) - (first[n * events] ?? NaN)
          return (connections * events * 1000) / ms
        })
        return { deliveries: median(bursts) }
      },
    })
    const queries = Array.from({ length: FILTERS }, (_filter, n) => `?part_number=BENCH-*,OTHER-${n}`)
    return [side('unfiltered', ['']), side('100 filters', queries)]
  },
}

export default filters

import { compile } from './harness/compile.js'
import { startPostgres } from './harness/postgres.js'
import type { Question, Side } from './harness/question.js'
import { importRows, siloRequest, startSiloStream } from './harness/streams.js'
import { Watchers } from './harness/watchers.js'

const connections = 1000
const FILTERS = 100

const filters: Question = {
  title: 'Deliveries through 100 different filters, 10 watchers each',
  method:
    'An import of 10,000 rows, 1,000 watchers. Each filter names what everybody sees and an item of its own that never comes, so both ' +
    'sides deliver the same events and nothing is saved by hiding some: the filter has to be asked about every event. What is ' +
    'written is the same for all, and shared; filters that see different parts would each be given a copy. The clock runs from the first event at the first watcher to the last at the last.',
  metrics: [{ name: 'deliveries', unit: '/s', better: 'higher' }],
  targets: [{ metric: 'deliveries', side: '100 filters', goal: { ratio: 0.8, to: { side: 'unfiltered' } } }],
  async sides(scope) {
    const program = await compile(scope, 'bench/harness/watchers.c')
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
          events,
        })
        await importRows(inner, silo, events)
        const { first, last } = await watchers.done()
        const ms = (last.at(-1) ?? NaN) - (first[0] ?? NaN)
        return { deliveries: (connections * events * 1000) / ms }
      },
    })
    const queries = Array.from({ length: FILTERS }, (_filter, n) => `?part_number=BENCH-*,OTHER-${n}`)
    return [side('unfiltered', ['']), side('100 filters', queries)]
  },
}

export default filters

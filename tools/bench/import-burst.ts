import { compile } from './harness/compile.js'
import { startPostgres } from '../harness/postgres.js'
import type { Figures, Question } from './harness/question.js'
import { importRows, startNchan, startSiloStream } from './harness/streams.js'
import { type Delivery, Watchers, clock } from './harness/watchers.js'

const connections = 1000

const figuresOf = ({ first, last }: Delivery, published: number): Figures => {
  const all = connections * last.length * 1000
  const end = last.at(-1) ?? NaN
  return {
    deliveries: all / (end - (first[0] ?? NaN)),
    'deliveries, from the first byte published': all / (end - published),
  }
}

const importBurst: Question = {
  title: 'Deliveries of an import of 10,000 rows to 1,000 subscribers',
  method:
    'The import is one `POST /api/items/import`; all its events become visible with its commit. Nchan ' +
    'receives 2,000 events over eight connections as fast as it accepts them: its rate does not depend on ' +
    'their number. Measured from the first event at the first subscriber until the last event at the last ' +
    'one; the second row is measured from the request, so it includes the import.',
  metrics: [
    { name: 'deliveries', unit: '/s', better: 'higher' },
    { name: 'deliveries, from the first byte published', unit: '/s', better: 'higher' },
  ],
  targets: [{ metric: 'deliveries', side: 'Silo', goal: { ratio: 10, to: { side: 'Nchan' } } }],
  async sides(scope) {
    const program = await compile(scope, 'tools/bench/harness/watchers.c')
    const postgres = await startPostgres(scope)
    return [
      {
        name: 'Silo',
        async measure(inner) {
          const server = await startSiloStream(inner, postgres)
          const events = inner.size(10_000, 2000)
          const { port, request } = server
          const watchers = await Watchers.open(inner, {
            program,
            port,
            requests: [request],
            connections,
            events,
          })
          const published = clock()
          await importRows(inner, server, events)
          return figuresOf(await watchers.done(), published)
        },
      },
      {
        name: 'Nchan',
        async measure(inner) {
          const { port, request, publish } = await startNchan(inner)
          const events = inner.size(2000, 200)
          const watchers = await Watchers.open(inner, {
            program,
            port,
            requests: [request],
            connections,
            events,
          })
          const published = clock()
          await Promise.all(Array.from({ length: events }, (_event, index) => publish(index + 1)))
          return figuresOf(await watchers.done(), published)
        },
      },
    ]
  },
}

export default importBurst

import postgres from 'postgres'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { fillCatalogue } from './harness/catalogue.js'
import { startPostgres } from '../harness/postgres.js'
import { Program } from '../harness/program.js'
import { createToken } from '../harness/tokens.js'
import type { Question, Side } from './harness/question.js'

const WRITERS = [1, 8, 32]
const ITEMS = 10_000

const nameOf = (writers: number): string => `${writers} ${writers === 1 ? 'writer' : 'writers'}`

const mutations: Question = {
  title: 'Mutations in the database alone',
  method:
    'pgbench with prepared statements, half of them creates and half changes of one of 10,000 items, each ' +
    'in its own transaction: the statements of the service, in `tools/bench/harness/create.sql` and ' +
    '`tools/bench/harness/change.sql`. With the triggers off, the same statements write only the items: no ' +
    'revision, event or author, and no check that a change changes something.',
  metrics: WRITERS.map((writers) => ({ name: nameOf(writers), unit: '/s', better: 'higher' })),
  targets: [
    {
      metric: nameOf(32),
      side: 'triggers on',
      goal: { ratio: 0.75, to: { side: 'triggers off' } },
    },
  ],
  async sides(scope) {
    const server = await startPostgres(scope)
    const template = await server.createDatabase(scope)
    const sql = connect(template.url, 1)
    await migrate(sql)
    const { id } = await createToken(sql, 'editor')
    await sql.end()
    await fillCatalogue(template, { items: ITEMS, revisions: 1, events: ITEMS })

    const side = (name: string, disabled: string): Side => ({
      name,
      async measure(inner) {
        const { url, superuserUrl } = await server.createDatabase(inner, template)
        const admin = postgres(superuserUrl, { max: 1, onnotice: () => undefined })
        await admin.unsafe(disabled)
        await admin.end()
        const figures: Record<string, number> = {}
        for (const writers of WRITERS) {
          const seconds = String(inner.size(8, 1))
          const how = [
            '-n',
            '-M',
            'prepared',
            '-D',
            `token=${id}`,
            '-j',
            '2',
            '-c',
            String(writers),
            '-T',
            seconds,
          ]
          const scripts = ['-f', 'tools/bench/harness/create.sql', '-f', 'tools/bench/harness/change.sql']
          const output = await (await Program.start(inner, 'pgbench', [...how, ...scripts, url])).done()
          const [, rate] = /^tps = ([\d.]+)/m.exec(output) ?? []
          if (rate === undefined) throw new Error(`pgbench printed no rate:\n${output}`)
          figures[nameOf(writers)] = Number(rate)
        }
        return figures
      },
    })
    return [side('triggers on', ''), side('triggers off', 'alter table items disable trigger user')]
  },
}

export default mutations

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { connect } from '../../store/driver/connect.js'
import { migrate } from '../../store/migrate.js'
import { startPostgres } from '../harness/postgres.js'
import { Program } from '../harness/program.js'
import type { Question } from './harness/question.js'
import { startSilo } from './harness/silo.js'

const COLUMNS = 'part_number,item_type,description,long_description,sourcing_type'

/** Returns a catalogue of `rows` items as CSV. */
const fileOf = (rows: number): string =>
  [
    COLUMNS,
    ...Array.from(
      { length: rows },
      (_row, n) =>
        `I-${String(n).padStart(7, '0')},part,` +
        `"Socket head cap screw M${3 + (n % 20)} x ${8 + (n % 90)}, zinc plated",ISO 4762,purchased`,
    ),
    '',
  ].join('\n')

const question: Question = {
  title: 'Import of 50,000 rows',
  method:
    'Silo: one `POST /api/items/import` of a CSV file, from its first byte to the response; every row is ' +
    'checked, and all are written or none. The peer: `\\copy` of the same file by psql into the same ' +
    'tables, with the same triggers and notification, from the start of psql until it exits.',
  metrics: [{ name: 'rows', unit: '/s', better: 'higher' }],
  targets: [{ metric: 'rows', side: 'Silo', goal: { ratio: 0.5, to: { side: 'copy' } } }],
  async sides(scope) {
    const server = await startPostgres(scope)
    const template = await server.createDatabase(scope)
    const sql = connect(template.url, 1)
    await migrate(sql)
    await sql.end()
    const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
    scope.defer(() => rm(folder, { recursive: true }))
    const file = join(folder, 'items.csv')
    const rows = scope.size(50_000, 2000)
    const text = fileOf(rows)
    await writeFile(file, text)
    return [
      {
        name: 'Silo',
        async measure(inner) {
          const { origin, authorization } = await startSilo(
            inner,
            await server.createDatabase(inner, template),
          )
          const began = performance.now()
          const { statusCode, body } = await request(`${origin}/api/items/import`, {
            method: 'POST',
            headers: { authorization, 'content-type': 'text/csv' },
            body: text,
          })
          const answer = await body.text()
          const seconds = (performance.now() - began) / 1000
          if (statusCode !== 200) throw new Error(`the import failed with ${statusCode}: ${answer}`)
          return { rows: rows / seconds }
        },
      },
      {
        name: 'copy',
        async measure(inner) {
          const { url } = await server.createDatabase(inner, template)
          const copy = `\\copy items (${COLUMNS}) from '${file}' with (format csv, header true)`
          const began = performance.now()
          const env = { PGOPTIONS: '-c silo.writer=api' }
          await (
            await Program.start(inner, 'psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-c', copy, url], { env })
          ).done()
          return { rows: (rows * 1000) / (performance.now() - began) }
        },
      },
    ]
  },
}

export default question

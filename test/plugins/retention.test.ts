import t from 'tap'
import { buildApp } from '../../app.js'
import { testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { eventually } from '../../tools/harness/eventually.js'

t.test('the service logs a warning with the id when it deletes an event from the future', async (t) => {
  const lines: string[] = []
  const config = testConfig(await createDatabase(t), { EVENT_RETENTION_HOURS: 0.001, LOG_LEVEL: 'warn' })
  const app = await buildApp(config, { write: (line) => lines.push(line) })
  t.teardown(() => app.close())
  await app.ready()
  await app.db`
    insert into events (type, part_number, data, at)
    select 'item.deleted', 'A', '{"part_number":"A"}', now() - hours * interval '1 hour'
      from unnest('{30,-480,20}'::integer[]) with ordinality as e (hours, n)
     order by n
  `
  await eventually('retention', async () => (await app.db`select from events`).length === 0)
  const warnings = lines.filter((line) => line.includes('deleting an event with a time in the future'))
  t.equal(warnings.length, 1)
  const [warning] = warnings.map((line): unknown => JSON.parse(line))
  t.match(warning, { level: 40, id: 2, msg: /the clock of the database was ahead when it was written$/ })
})

import t from 'tap'
import { INITIAL_CONTENT, ITEM_FIELD_NAMES } from '../../schemas/items.js'
import { connect } from '../../store/driver/connect.js'
import { FIELDS } from '../../store/item-fields.js'
import { createDatabase } from '../harness/database.js'

t.test('items and revisions have a column of its type for each field', async (t) => {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  for (const table of ['items', 'past_revisions', 'revisions']) {
    const columns = await sql<{ name: string; type: string }[]>`
      select attname as name, atttypid::regtype::text as type
        from pg_attribute
       where attrelid = ${table}::regclass
         and attname in ${sql([...ITEM_FIELD_NAMES])}
       order by attname
    `
    t.strictSame(
      columns.map(({ name, type }) => `${name} ${type}`),
      FIELDS.map(({ name, type }) => `${name} ${type}`).toSorted(),
      table,
    )
  }
})

t.test('a new item has the same initial content in the API and in SQL', async (t) => {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  const [stored] = await sql`
    insert into items (part_number) values ('A') returning ${sql([...ITEM_FIELD_NAMES])}
  `
  t.strictSame({ ...stored }, INITIAL_CONTENT)
})

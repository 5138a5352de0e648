import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { readEvents } from '../harness/client.js'
import { createDatabase } from '../harness/database.js'
import { authorOf } from '../harness/people.js'
import { type Sql, connect } from '../../store/driver/connect.js'
import { itemCreator } from '../../store/creation.js'
import { archiveItem, changeItem } from '../../store/items.js'
import { encodeRow, importRows } from '../../store/import.js'

const ANY = { revisions: undefined }

/** Opens a single connection, so that anything that a statement leaves behind would affect the next one. */
async function start(t: Test) {
  const url = await createDatabase(t)
  const sql = connect(url, 1)
  t.teardown(() => sql.end())
  return { sql, url, createItem: itemCreator(() => sql) }
}

t.test('each statement has its own author, and the next on the connection inherits nothing', async (t) => {
  const { sql, createItem } = await start(t)
  await createItem({ part_number: 'A' }, await authorOf(sql, 'mara', { comment: 'first' }))
  await createItem({ part_number: 'B' }, await authorOf(sql, 'noor'))
  await changeItem(sql, 'A', { description: 'x' }, await authorOf(sql, 'ines', { comment: 'second' }), ANY)
  await importRows(
    sql,
    [encodeRow(1, { part_number: 'C' })],
    { on_conflict: 'error', dry: false },
    await authorOf(sql, 'olga'),
  )
  await archiveItem(sql, 'C', await authorOf(sql, 'vera'), ANY)
  await sql`update items set description = 'y' where part_number = 'B'`
  const revisions = await sql<
    { part_number: string; created_by: string; comment: string | null }[]
  >`select part_number, created_by, comment from revisions order by created_at`
  t.strictSame(
    revisions.map(({ part_number, created_by, comment }) => [part_number, created_by, comment]),
    [
      ['A', 'mara', 'first'],
      ['B', 'noor', null],
      ['A', 'ines', 'second'],
      ['C', 'olga', null],
      ['B', 'postgres', null],
    ],
  )
  t.strictSame(
    (await readEvents(sql)).map(([type, , actor]) => [type, actor]),
    [
      ['item.created', 'mara'],
      ['item.created', 'noor'],
      ['item.updated', 'ines'],
      ['revision.created', 'ines'],
      ['item.created', 'olga'],
      ['item.deleted', 'vera'],
      ['item.updated', 'postgres'],
      ['revision.created', 'postgres'],
    ],
  )
})

t.test('the trigger sends a notification for every writer except the service', async (t) => {
  const { sql, url, createItem } = await start(t)
  const ear = postgres(url, { max: 1, onnotice: () => undefined })
  t.teardown(() => ear.end())
  const heard: string[] = []
  const ends = new EventEmitter()
  await ear.listen('silo_events', () => heard.push('silo_events'))
  await ear.listen('end', () => ends.emit('end'))
  /** Returns the notifications so far: they come in the order of their commits. */
  async function heardSoFar(): Promise<string[]> {
    const end = once(ends, 'end', { signal: AbortSignal.timeout(5000) })
    await sql`select pg_notify('end', '')`
    await end
    return heard.splice(0)
  }
  await createItem({ part_number: 'A' }, await authorOf(sql, 'mara'))
  await changeItem(sql, 'A', { description: 'x' }, await authorOf(sql, 'mara'), ANY)
  await importRows(
    sql,
    [encodeRow(1, { part_number: 'B' })],
    { on_conflict: 'error', dry: false },
    await authorOf(sql, 'mara'),
  )
  await archiveItem(sql, 'A', await authorOf(sql, 'mara'), ANY)
  t.strictSame(await heardSoFar(), [])
  await sql`update items set description = 'y' where part_number = 'B'`
  t.strictSame(await heardSoFar(), ['silo_events'])
})

/** Connects as a role that can read and write items, and nothing else. */
async function signInAsClerk(t: Test, { sql, url }: { sql: Sql; url: string }): Promise<Sql> {
  const name = `clerk_${randomUUID().replaceAll('-', '')}`
  await sql.unsafe(`
    create role ${name} login password 'clerk';
    grant select, insert, update, delete on items to ${name};
  `)
  const address = new URL(url)
  address.username = name
  address.password = 'clerk'
  const clerk = connect(address.href, 1)
  t.teardown(async () => {
    await clerk.end()
    await sql.unsafe(`drop owned by ${name} cascade; drop role ${name}`)
  })
  return clerk
}

t.test('past states of an item are retained, whoever archives, changes or restores it', async (t) => {
  const { sql, createItem } = await start(t)
  await createItem({ part_number: 'A', description: '1' }, await authorOf(sql, 'mara', { comment: 'first' }))
  await sql`
    update items
       set description = '2', archived_at = now()
      from set_config('silo.actor', 'ines', true) actor,
           set_config('silo.comment', 'replaced by B', true) comment
  `
  await sql`update items set archived_at = null from set_config('silo.actor', 'noor', true)`
  await archiveItem(sql, 'A', await authorOf(sql, 'vera', { comment: 'for good' }), ANY)
  const revisions = await sql`
    select revision_number as n, description, created_by, comment
      from revisions
     order by revision_number
  `
  t.strictSame(
    [...revisions],
    [
      { n: 1, description: '1', created_by: 'mara', comment: 'first' },
      { n: 2, description: '2', created_by: 'ines', comment: 'replaced by B' },
      { n: 3, description: '2', created_by: 'noor', comment: null },
    ],
  )
  t.strictSame(
    (await readEvents(sql)).map(([type, , actor]) => [type, actor]),
    [
      ['item.created', 'mara'],
      ['item.updated', 'ines'],
      ['revision.created', 'ines'],
      ['item.deleted', 'ines'],
      ['item.updated', 'noor'],
      ['revision.created', 'noor'],
      ['item.deleted', 'vera'],
    ],
  )
})

t.test('no SQL client writes under the name of another user', async (t) => {
  const { sql, url } = await start(t)
  const clerk = await signInAsClerk(t, { sql, url })
  const [{ session_user: name } = { session_user: '' }] = await clerk<{ session_user: string }[]>`
    select session_user
  `
  await clerk`select set_config('silo.actor', 'mara', false), set_config('silo.comment', 'hers', false)`
  await clerk`insert into items (part_number, created_by) values ('A', 'mara')`
  await clerk`update items set description = 'x', updated_by = 'mara'`
  t.strictSame(new Set((await readEvents(sql)).map(([, , actor]) => actor)), new Set([name]))
  const authors = await sql`select created_by from revisions union select created_by from items`
  t.strictSame([...authors], [{ created_by: name }])
})

t.test('temporary tables of a role divert no event, and get no privilege of the owner', async (t) => {
  const { sql, url } = await start(t)
  const clerk = await signInAsClerk(t, { sql, url })
  await clerk.unsafe(`
    create function pg_temp.climb() returns trigger language plpgsql as $$
      begin
        insert into pg_temp.climbed values (current_user);
        return null;
      end $$;
    create temporary table climbed (name text);
    create temporary table events (type text, part_number text, data json, at timestamptz);
    create temporary table past_revisions (like public.items);
    create temporary table event_log (timeline integer, seed uuid, pruned_to bigint);
    insert into pg_temp.event_log values (0, gen_random_uuid(), 0);
    create trigger climb after insert on pg_temp.events for each row execute function pg_temp.climb();
    create trigger climb after update on pg_temp.event_log for each row execute function pg_temp.climb();
    grant all on pg_temp.climbed, pg_temp.events, pg_temp.past_revisions, pg_temp.event_log to public;
  `)
  await clerk`insert into public.items (part_number) values ('A')`
  await clerk`update public.items set description = 'x'`
  t.strictSame([...(await clerk`select name from pg_temp.climbed`)], [])
  t.strictSame([...(await clerk`select from pg_temp.past_revisions`)], [])
  t.match(await readEvents(sql), [
    ['item.created', 'A'],
    ['item.updated', 'A'],
    ['revision.created', 'A'],
  ])
})

t.test('no role writes to the log by a trigger of its own', async (t) => {
  const { sql, url } = await start(t)
  const clerk = await signInAsClerk(t, { sql, url })
  const functions = await sql<{ name: string }[]>`
    select proname as name
      from pg_proc
     where pronamespace = 'public'::regnamespace
       and prosecdef
  `
  t.ok(
    functions.some(({ name }) => name === 'items_log'),
    'the function that writes the log is one of them',
  )
  await clerk`create temporary table forged (id uuid, part_number text)`
  for (const { name } of functions) {
    await t.rejects(
      clerk.unsafe(
        `create trigger forge after insert on pg_temp.forged for each row execute function ${name}()`,
      ),
      { code: '42501' },
      name,
    )
  }
  const paths = await sql`
    select proname
      from pg_proc
     where pronamespace = 'public'::regnamespace
       and prosecdef
       and not proconfig @> '{"search_path=public, pg_temp"}'
  `
  t.strictSame([...paths], [], 'all of them have a fixed search path')
})

t.test(
  "a role without the owner's privileges causes revisions and events, and cannot modify them",
  async (t) => {
    const { sql } = await start(t)
    const role = `clerk_${randomUUID().replaceAll('-', '')}`
    await sql.unsafe(`create role ${role}; grant select, insert, update, delete on items to ${role}`)
    t.teardown(async () => {
      await sql.unsafe(`reset role; drop owned by ${role}; drop role ${role}`)
    })
    await sql.unsafe(`set role ${role}`)
    await sql`insert into items (part_number, revision, created_by) values ('A', 7, 'somebody else')`
    await sql`update items set description = 'x', updated_by = 'somebody else' where part_number = 'A'`
    await t.rejects(sql`delete from items`, { code: '23000' })
    await t.rejects(sql`update items set part_number = 'B'`, { code: '23000' })
    for (const table of ['past_revisions', 'events', 'event_log']) {
      for (const statement of [
        `delete from ${table}`,
        `truncate ${table}`,
        `insert into ${table} default values`,
      ]) {
        await t.rejects(sql.unsafe(statement), { code: '42501' }, statement)
      }
    }
    await sql`reset role`
    t.strictSame(await readEvents(sql), [
      ['item.created', 'A', 'postgres', { description: '', item_type: 'part' }],
      ['item.updated', 'A', 'postgres', { revision: 2 }],
      ['revision.created', 'A', 'postgres', { revision_number: 2, comment: null }],
    ])
    for (const statement of [
      'delete from past_revisions',
      "update past_revisions set comment = 'x'",
      'truncate past_revisions',
      'insert into past_revisions select * from past_revisions',
    ]) {
      await t.rejects(sql.unsafe(statement), { code: '23000' }, `also the owner: ${statement}`)
    }
  },
)

t.test('the log rejects data that would end a line of the feed, even from its owner', async (t) => {
  const { sql } = await start(t)
  for (const lineBreak of ['\n', '\r']) {
    await t.rejects(
      sql`
        insert into events (type, part_number, data, at)
        values ('item.deleted', 'A', ${`{"a":${lineBreak}1}`}::text::json, now())
      `,
      /one_line/,
    )
  }
})

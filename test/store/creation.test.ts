import t, { type Test } from 'tap'
import { waitForWaiters } from '../harness/client.js'
import { createDatabase } from '../harness/database.js'
import { authorOf } from '../harness/people.js'
import { connect } from '../../store/driver/connect.js'
import { openPool } from '../../store/driver/pool.js'
import { itemCreator } from '../../store/creation.js'

async function start(t: Test) {
  const url = await createDatabase(t)
  const sql = openPool(url, 4)
  t.teardown(() => sql.end())
  return { url, sql, createItem: itemCreator(() => sql) }
}

const numbers = Array.from({ length: 20 }, (_, i) => `A-${String(i).padStart(2, '0')}`)

t.test('concurrent creates share a transaction, and each has its own item', async (t) => {
  const { sql, createItem } = await start(t)
  const comment = 'of one order'
  const mara = await authorOf(sql, 'mara', { comment })
  const created = await Promise.all(
    numbers.map((part_number) => createItem({ part_number, properties: { part_number } }, mara)),
  )
  t.strictSame(
    created.map(({ part_number, properties, created_by }) => [part_number, properties, created_by]),
    numbers.map((part_number) => [part_number, { part_number }, 'mara']),
  )
  t.strictSame(
    [...(await sql`select distinct xmin::text, comment from items`)].map((row): unknown => row.comment),
    [comment],
  )
})

t.test('concurrent creates keep their own author and comment', async (t) => {
  const { sql, createItem } = await start(t)
  const authors = [
    { actor: 'mara', comment: 'first' },
    { actor: 'mara', comment: 'second' },
    { actor: 'noor', comment: 'first' },
    { actor: 'noor' },
  ]
  const [mara, noor] = [await authorOf(sql, 'mara'), await authorOf(sql, 'noor')]
  await Promise.all(
    authors.map(({ actor, comment }, i) =>
      createItem({ part_number: `A-${i}` }, { ...(actor === 'mara' ? mara : noor), comment }),
    ),
  )
  t.strictSame(
    [...(await sql`select created_by as actor, comment from items order by part_number`)],
    authors.map(({ actor, comment }) => ({ actor, comment: comment ?? null })),
  )
})

t.test('an error in one item rejects its create alone, and the others succeed', async (t) => {
  const { sql, createItem } = await start(t)
  await sql`alter table items add constraint no_refuse check (description <> 'refuse')`
  const author = await authorOf(sql, 'mara')
  await createItem({ part_number: 'taken' }, author)
  const outcomes = await Promise.allSettled([
    createItem({ part_number: 'A-1' }, author),
    createItem({ part_number: 'TAKEN' }, author),
    createItem({ part_number: 'A-2' }, author),
    createItem({ part_number: 'a-2' }, author),
    createItem({ part_number: 'A-3', description: 'refuse' }, author),
    createItem({ category: 'A' }, author),
  ])
  t.match(outcomes, [
    { value: { part_number: 'A-1' } },
    { reason: { code: 'part_number_taken' } },
    {},
    {},
    { reason: { constraint_name: 'no_refuse' } },
    { value: { part_number: 'A-0001' } },
  ])
  t.strictSame(
    outcomes
      .slice(2, 4)
      .map(({ status }) => status)
      .sort(),
    ['fulfilled', 'rejected'],
    'of two creates of one number, one succeeds',
  )
  t.equal((await sql`select from items`).length, 4)
  t.equal((await sql`select from events`).length, 4, 'a create that was rolled back left no event')
})

t.test('a lock on a part number blocks only the creates of that number', { timeout: 10_000 }, async (t) => {
  const { sql, url, createItem } = await start(t)
  const author = await authorOf(sql, 'mara')
  const other = connect(url, 1)
  t.teardown(() => other.end())
  let waiting: Promise<unknown> = Promise.resolve()
  await other.begin(async (tx) => {
    await tx`insert into items (part_number) values ('A-00')`
    waiting = createItem({ part_number: 'A-00' }, author)
    waiting.catch(() => undefined)
    const others = numbers.slice(1).map((part_number) => createItem({ part_number }, author))
    t.equal((await Promise.all(others)).length, 19)
    t.equal((await sql`select from items`).length, 19, 'while the lock is held')
  })
  await t.rejects(waiting, { code: 'part_number_taken' })
})

t.test('concurrent creates in a category get different numbers without a gap', async (t) => {
  const { sql, createItem } = await start(t)
  const author = await authorOf(sql, 'mara')
  const created = await Promise.all(numbers.map(() => createItem({ category: 'B02' }, author)))
  t.strictSame(
    created.map(({ part_number }) => part_number).sort(),
    numbers.map((_, i) => `B02-${String(i + 1).padStart(4, '0')}`),
  )
})

t.test(
  'the items of a statement are written in one order, so that two statements cannot deadlock',
  async (t) => {
    const { sql, createItem } = await start(t)
    const items = [
      { part_number: 'b' },
      { category: 'D' },
      { part_number: 'C' },
      { category: 'A' },
      { part_number: 'A' },
    ]
    const author = await authorOf(sql, 'mara')
    await Promise.all(items.map((item) => createItem(item, author)))
    t.strictSame(
      [...(await sql`select part_number from items order by ctid`)].map((row): unknown => row.part_number),
      ['A', 'b', 'C', 'A-0001', 'D-0001'],
    )
  },
)

t.test('a create that waits longer than the queue timeout is refused, and never created', async (t) => {
  const url = await createDatabase(t)
  const sql = openPool(url, 1)
  t.teardown(() => sql.end())
  const createItem = itemCreator(() => sql)
  const author = await authorOf(sql, 'mara')
  const { outcomes } = await sql.begin(async () => {
    const first = createItem({ part_number: 'A' }, author)
    // Its statement waits for the only connection, which this transaction holds.
    await new Promise(setImmediate)
    const outcomes = Promise.allSettled([first, createItem({ part_number: 'B' }, author)])
    const later = performance.now() + 11_000
    t.intercept(performance, 'now', { value: () => later })
    return { outcomes }
  })
  t.match(await outcomes, [{ value: { part_number: 'A' } }, { reason: { code: 'overloaded' } }])
  t.strictSame([...(await sql`select part_number from items`)], [{ part_number: 'A' }])
})

t.test('a create that waits too long behind blocked inserts is refused', async (t) => {
  const { sql, url, createItem } = await start(t)
  const other = connect(url, 1)
  t.teardown(() => other.end())
  const held = numbers.slice(0, 3)
  const author = await authorOf(sql, 'mara')
  const { outcomes } = await other.begin(async (tx) => {
    for (const part_number of held) await tx`insert into items (part_number) values (${part_number})`
    const wanted = [...held, 'B'].map((part_number) => createItem({ part_number }, author))
    const outcomes = Promise.allSettled(wanted)
    await waitForWaiters(sql, held.length)
    const later = performance.now() + 11_000
    t.intercept(performance, 'now', { value: () => later })
    return { outcomes }
  })
  t.match(await outcomes, [
    ...held.map(() => ({ reason: { code: 'part_number_taken' } })),
    { reason: { code: 'overloaded' } },
  ])
  t.equal((await sql`select from items`).length, held.length)
})

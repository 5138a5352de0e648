import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { decimalLength } from '../../lib/exact-number.js'
import { BOUNDS } from '../../schemas/bounds.js'
import { PART_NUMBER } from '../../schemas/items.js'
import { USERNAME } from '../../schemas/users.js'
import { startApp } from '../harness/app.js'
import { fieldsOf, clientAs } from '../harness/client.js'

const CHECK_VIOLATION = '23514'

/**
 * Returns properties that are `bytes` long as JSON without blanks and with numbers written out. PostgreSQL
 * prints a blank after each of their many commas.
 */
function propertiesOf(bytes: number): Record<string, unknown> {
  const properties: Record<string, unknown> = {
    big: 1e300,
    small: -1.5e-7,
    list: Array.from({ length: 9000 }, () => 1),
  }
  const length = JSON.stringify(properties).length - '1e+300'.length + 301 - '-1.5e-7'.length + 11
  return { ...properties, x: 'ä"'.padEnd(bytes - length - ',"x":""'.length - 2, 'x') }
}

interface Bounded {
  /** The name of the column in the database, and of the field in the API. */
  field: string
  bound: number
  make: (length: number) => unknown
  insert: (app: FastifyInstance, value: unknown, n: number) => Promise<unknown>
  /** A request with which the API receives the value, where it accepts one. */
  send?: { path: string; body: (value: unknown, n: number) => Record<string, unknown> }
}

const text = (length: number) => '漢'.repeat(length)
const ofItem = (field: string) => ({
  insert: async ({ db }: FastifyInstance, value: unknown, n: number) =>
    db`insert into items ${db({ part_number: `S-${field}-${n}`, [field]: value as string })}`,
  send: {
    path: '/api/items',
    body: (value: unknown, n: number) => ({ part_number: `A-${field}-${n}`, [field]: value }),
  },
})

const BOUNDED: Bounded[] = [
  { field: 'description', bound: BOUNDS.description, make: text, ...ofItem('description') },
  { field: 'long_description', bound: BOUNDS.long_description, make: text, ...ofItem('long_description') },
  {
    field: 'properties',
    bound: BOUNDS.properties,
    make: propertiesOf,
    ...ofItem('properties'),
    insert: async ({ db }, value, n) =>
      db`
        insert into items (part_number, properties)
        values (${`S-properties-${n}`}, ${JSON.stringify(value)}::text::jsonb)
      `,
  },
  {
    field: 'comment',
    bound: BOUNDS.comment,
    make: text,
    ...ofItem('comment'),
    insert: async ({ db }, value, n) =>
      db.begin(async (tx) => {
        await tx`select set_config('silo.comment', ${value}, true)`
        await tx`insert into items (part_number) values (${`S-comment-${n}`})`
      }),
  },
  {
    field: 'display_name',
    bound: BOUNDS.display_name,
    make: text,
    insert: async ({ db }, value, n) =>
      db`
        insert into users (username, display_name, role, password_hash)
        values (${`s-${n}`}, ${value}, 'viewer', '')
      `,
    send: {
      path: '/api/users',
      body: (value, n) => ({
        username: `a-${n}`,
        password: 'long enough for one',
        role: 'viewer',
        display_name: value,
      }),
    },
  },
  {
    field: 'name',
    bound: BOUNDS.token_name,
    make: text,
    insert: async ({ db }, value) => db`
      insert into tokens (user_id, kind, name, role, hash, expires_at)
      select id, 'api', ${value}, 'viewer', uuid_send(gen_random_uuid()), now() from users limit 1
    `,
    send: { path: '/api/auth/tokens', body: (value) => ({ name: value }) },
  },
  {
    field: 'category',
    bound: BOUNDS.category,
    make: (length) => 'a'.repeat(length),
    insert: async ({ db }, value) =>
      db`insert into categories (category, prefix, last) values (${value}, ${value}, 0)`,
    send: { path: '/api/items', body: (value) => ({ category: value }) },
  },
]

t.test('a text has the same maximum length in the API and in SQL', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'admin')
  for (const { field, bound, make, insert, send: sent } of BOUNDED) {
    await t.test(field, async (t) => {
      await t.resolves(insert(app, make(bound), 0), 'SQL, at the bound')
      await t.rejects(insert(app, make(bound + 1), 1), { code: CHECK_VIOLATION, column_name: field })
      if (!sent) return
      const { path, body } = sent
      const taken = await send('POST', path, { payload: body(make(bound), 0) })
      t.equal(taken.statusCode, 201, taken.body.slice(0, 500))
      const refused = await send('POST', path, { payload: body(make(bound + 1), 1) })
      t.equal(refused.statusCode, 400)
      t.strictSame(fieldsOf(refused), [field])
    })
  }
})

t.test('a name has the same pattern in the API and in SQL', async (t) => {
  const { db } = await startApp(t)
  const checks = await db<{ definition: string }[]>`
    select pg_get_constraintdef(oid) as definition
      from pg_constraint
     where conrelid in ('items'::regclass, 'users'::regclass)
       and contype = 'c'
  `
  for (const pattern of [PART_NUMBER, USERNAME]) {
    t.ok(
      checks.some(({ definition }) => definition.includes(`'${pattern}'`)),
      pattern,
    )
  }
})

t.test('the length of a number is computed as PostgreSQL prints it', async (t) => {
  const app = await startApp(t)
  for (const number of [
    1e300, -1e21, 1.234e25, 1e-7, -1.5e-7, 5e-300, 0.1, 123, 1e20, 1.7976931348623157e308,
  ]) {
    const [row] = await app.db<{ length: number }[]>`
      select octet_length(${JSON.stringify(number)}::text::jsonb::text) as length
    `
    t.equal(decimalLength(number), row?.length, String(number))
  }
})

t.test('a row that exceeds the bounds can be read, archived and shortened, but not lengthened', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  const long = 'x'.repeat(1024 * 1024)
  await app.db`alter table items disable trigger user`
  await app.db`
      insert into items (part_number, description, long_description)
      select 'OLD-' || n, left(${long}, 100000), ${long} from generate_series(1, 3) n
    `
  await app.db`alter table items enable trigger user`
  await app.db`update items set sourcing_type = 'purchased' where part_number = 'OLD-1'`
  await t.rejects(app.db`update items set description = ${`${long}x`} where part_number = 'OLD-1'`, {
    code: CHECK_VIOLATION,
    column_name: 'description',
  })
  t.equal((await send('PUT', '/api/items/OLD-1', { payload: { description: 'short' } })).statusCode, 200)
  t.equal((await send('DELETE', '/api/items/OLD-2')).statusCode, 204)
  const res = await send('GET', '/api/items?limit=500')
  t.equal(res.json<{ items: unknown[] }>().items.length, 1, 'one item fills a page')
  t.ok(res.json<{ next_cursor: unknown }>().next_cursor)
})

t.test('a text of 200 MB in SQL is refused, and the service keeps running', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  for (const column of ['description', 'long_description']) {
    await t.rejects(
      app.db.unsafe(`insert into items (part_number, ${column}) values ('HUGE', repeat('x', 200000000))`),
      { code: CHECK_VIOLATION, column_name: column },
    )
  }
  t.equal((await send('POST', '/api/items', { payload: { part_number: 'N-1' } })).statusCode, 201)
  t.equal((await app.inject('/ready')).statusCode, 200)
})

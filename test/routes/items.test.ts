import t, { type Test } from 'tap'
import { startApp } from '../harness/app.js'
import { codeOf, fieldsOf, readEvents, clientAs, waitForWaiters } from '../harness/client.js'

interface Body {
  id: string
  part_number: string
  description: string
  sourcing_type: string | null
  properties: Record<string, unknown>
  revision: number
  created_at: string
  created_by: string
  updated_at: string
  updated_by: string
}

interface Page {
  items: Body[]
  next_cursor: string | null
  event_cursor: string
}

async function start(t: Test) {
  const app = await startApp(t)
  return { app, send: await clientAs(app, 'editor', 'mara') }
}

const RFC_3339_MS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('POST creates an item: 201, Location, ETag, the whole item, and item.created alone', async (t) => {
  const { app, send } = await start(t)
  const payload = {
    part_number: 'A-1.b_C',
    description: 'gantry',
    properties: { a: [1, { b: null }] },
    comment: 'first',
  }
  const res = await send('POST', '/api/items', { payload })
  t.equal(res.statusCode, 201)
  t.equal(res.headers.location, '/api/items/A-1.b_C')
  t.equal(res.headers.etag, '"1"')
  const item = res.json<Body>()
  t.strictSame(item, {
    id: item.id,
    part_number: 'A-1.b_C',
    item_type: 'part',
    description: 'gantry',
    long_description: '',
    sourcing_type: null,
    properties: { a: [1, { b: null }] },
    revision: 1,
    created_at: item.created_at,
    created_by: 'mara',
    updated_at: item.created_at,
    updated_by: 'mara',
  })
  t.match(item.id, /^[0-9a-f-]{36}$/)
  t.match(item.created_at, RFC_3339_MS)
  t.strictSame(await readEvents(app.db), [
    ['item.created', 'A-1.b_C', 'mara', { description: 'gantry', item_type: 'part' }],
  ])
  t.strictSame((await app.db`select comment, created_by from revisions`)[0], {
    comment: 'first',
    created_by: 'mara',
  })
})

t.test('an item is found by its number in any case and by its id, and returned as written', async (t) => {
  const { send } = await start(t)
  const { id } = (await send('POST', '/api/items', { payload: { part_number: 'Ab-1' } })).json<Body>()
  for (const url of ['/api/items/aB-1', `/api/items/by-uuid/${id}`]) {
    const res = await send('GET', url)
    t.equal(res.statusCode, 200)
    t.equal(res.headers.etag, '"1"')
    t.equal(res.json<Body>().part_number, 'Ab-1')
    for (const held of ['"1"', 'W/"1"', '"0", "1"', '*']) {
      const again = await send('GET', url, { headers: { 'if-none-match': held } })
      t.equal(again.statusCode, 304, held)
      t.equal(again.headers.etag, '"1"')
      t.equal(again.body, '')
    }
    t.equal((await send('GET', url, { headers: { 'if-none-match': '"2", garbage' } })).statusCode, 200)
  }
  const unknown = await send('GET', '/api/items/by-uuid/00000000-0000-4000-8000-000000000000')
  t.equal(unknown.statusCode, 404)
  t.match(unknown.json(), { error: 'item_not_found', message: 'There is no item with this id.' })
  t.strictSame(fieldsOf(await send('GET', '/api/items/by-uuid/7')), ['id'])
  t.strictSame(fieldsOf(await send('GET', `/api/items/by-uuid/urn:uuid:${id}`)), ['id'])
  t.strictSame(fieldsOf(await send('GET', '/api/items/a%20b')), ['part_number'])
  t.equal(codeOf(await send('GET', '/api/items/nobody')), 'item_not_found')
})

t.test('the path segments of other routes are valid part numbers', async (t) => {
  const { send } = await start(t)
  for (const part_number of ['import', 'by-uuid']) {
    t.equal((await send('POST', '/api/items', { payload: { part_number } })).statusCode, 201)
    t.equal((await send('GET', `/api/items/${part_number}`)).json<Body>().part_number, part_number)
    t.equal((await send('PUT', `/api/items/${part_number}`, { payload: {} })).statusCode, 200)
  }
})

t.test('a part number is taken in any case, also by an archived item, which the error states', async (t) => {
  const { app, send } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A-1' } })
  const again = await send('POST', '/api/items', { payload: { part_number: 'a-1' } })
  t.equal(again.statusCode, 409)
  t.equal(codeOf(again), 'part_number_taken')
  t.notMatch(again.body, /archived/)
  t.equal((await send('DELETE', '/api/items/A-1')).statusCode, 204)
  const reused = await send('POST', '/api/items', { payload: { part_number: 'a-1' } })
  t.equal(reused.statusCode, 409)
  t.match(reused.json<{ message: string }>().message, /A-1 belongs to an archived item/)
  t.equal((await readEvents(app.db)).length, 2, 'created and deleted, and no other event')
})

t.test('a value that cannot be stored gets a 400 that names the field', async (t) => {
  const { app, send } = await start(t)
  const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)])
  const refused: [Record<string, unknown>, string[]][] = [
    [{}, ['part_number', 'category']],
    [{ part_number: 'A', category: 'A' }, ['part_number', 'category']],
    [{ part_number: '-A' }, ['part_number']],
    [{ part_number: 'A\n' }, ['part_number']],
    [{ part_number: 'x'.repeat(65) }, ['part_number']],
    [{ category: 'A-1' }, ['category']],
    [{ part_number: 'A', item_type: 'thing' }, ['item_type']],
    [{ part_number: 'A', sourcing_type: 'found' }, ['sourcing_type']],
    [{ part_number: 'A', description: 7 }, ['description']],
    [{ part_number: 'A', description: 'a\0b' }, ['description']],
    [{ part_number: 'A', description: '\ud800' }, ['description']],
    [{ part_number: 'A', description: 'x'.repeat(2001) }, ['description']],
    [{ part_number: 'A', long_description: 'x'.repeat(65_537) }, ['long_description']],
    [{ part_number: 'A', comment: 'x'.repeat(4001) }, ['comment']],
    [{ part_number: 'A', properties: [] }, ['properties']],
    [{ part_number: 'A', properties: { a: { 'b/c': ['x', '\0'] } } }, ['properties.a.b/c.1']],
    [{ part_number: 'A', properties: { a: { '\udc00': 1 } } }, ['properties.a']],
    [{ part_number: 'A', properties: { a: 'x'.repeat(65_536) } }, ['properties']],
    [{ part_number: 'A', properties: { a: deep(32) } }, [`properties.a${'.0'.repeat(31)}`]],
    [{ part_number: 'A', revision: 7, id: 'x' }, ['revision', 'id']],
  ]
  for (const [payload, fields] of refused) {
    const res = await send('POST', '/api/items', { payload })
    t.equal(res.statusCode, 400)
    t.strictSame(fieldsOf(res), fields)
  }
  const raw = (payload: string) =>
    send('POST', '/api/items', { payload, headers: { 'content-type': 'application/json' } })
  t.equal(codeOf(await raw('{"part_number":"A","properties":{"__proto__":{}}}')), 'invalid_json')
  t.strictSame(fieldsOf(await raw('{"part_number":"A","properties":{"n":[1e999]}}')), ['properties.n.0'])
  t.strictSame(await readEvents(app.db), [])
  t.equal(
    (await send('POST', '/api/items', { payload: { part_number: 'A', properties: { a: deep(31) } } }))
      .statusCode,
    201,
  )
})

t.test('a category gives the next free number, with at least four digits', async (t) => {
  const { app, send } = await start(t)
  const next = async (category: string) =>
    (await send('POST', '/api/items', { payload: { category } })).json<Body>().part_number
  t.equal(await next('A01'), 'A01-0001')
  await send('POST', '/api/items', { payload: { part_number: 'a01-0002' } })
  await send('DELETE', '/api/items/a01-0002')
  t.equal(await next('a01'), 'A01-0003', 'the next free number, with the first spelling of the category')
  await app.db`insert into items (part_number) values ('B-9999'), ('B-x'), ('B-10')`
  t.equal(await next('B'), 'B-10000')
  t.equal(await next('B.1'), 'B.1-0001')
})

t.test(
  '50 concurrent creates in a category get numbers without a gap, even beside explicit ones',
  async (t) => {
    const { app, send } = await start(t)
    const answers = await Promise.all([
      ...Array.from({ length: 50 }, () => send('POST', '/api/items', { payload: { category: 'C' } })),
      ...[3, 7, 11].map((n) =>
        send('POST', '/api/items', { payload: { part_number: `C-${String(n).padStart(4, '0')}` } }),
      ),
    ])
    const created = answers.slice(0, 50)
    t.ok(created.every((res) => res.statusCode === 201))
    const all = await app.db<{ part_number: string }[]>`select part_number from items order by part_number`
    t.strictSame(
      all.map(({ part_number }) => part_number),
      all.map((_, n) => `C-${String(n + 1).padStart(4, '0')}`),
    )
    t.equal(new Set(created.map((res) => res.json<Body>().part_number)).size, 50)
  },
)

t.test('a generated number that a concurrent create has taken is skipped', async (t) => {
  const { app, send } = await start(t)
  const { answer } = await app.feedDb.begin(async (tx) => {
    await tx`insert into items (part_number) values ('D-0001')`
    const answer = send('POST', '/api/items', { payload: { category: 'D' } })
    await waitForWaiters(app.feedDb, 1)
    return { answer }
  })
  const res = await answer
  t.equal(res.statusCode, 201)
  t.equal(res.json<Body>().part_number, 'D-0002')
})

t.test('a write that waits too long for a lock gets a 503, and releases its connection', async (t) => {
  const { app, send } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A' } })
  await app.feedDb.begin(async (tx) => {
    await tx`update items set description = 'x'`
    await tx`insert into items (part_number) values ('B')`
    const answers = await Promise.all([
      send('POST', '/api/items', { payload: { part_number: 'B' } }),
      send('PUT', '/api/items/A', { payload: { description: 'y' } }),
      send('DELETE', '/api/items/A'),
      send('POST', '/api/items/import?on_conflict=update', {
        payload: 'part_number,description\nA,y',
        headers: { 'content-type': 'text/csv' },
      }),
    ])
    for (const res of answers) {
      t.equal(res.statusCode, 503)
      t.equal(codeOf(res), 'overloaded')
      t.match(res.json<{ message: string }>().message, /Another transaction/)
      t.equal(res.headers['retry-after'], '2')
    }
    t.strictSame([...(await app.feedDb`select from pg_locks where not granted`)], [])
  })
  t.equal((await send('PUT', '/api/items/A', { payload: { description: 'y' } })).statusCode, 200)
})

t.test(
  'PUT changes the given fields, keeps the others, and writes item.updated and then revision.created',
  async (t) => {
    const { app, send } = await start(t)
    await send('POST', '/api/items', {
      payload: { part_number: 'A-1', description: 'old', sourcing_type: 'purchased', properties: { a: 1 } },
    })
    const res = await send('PUT', '/api/items/a-1', {
      payload: { part_number: 'a-1', description: 'new', comment: 'why' },
    })
    t.equal(res.statusCode, 200)
    t.equal(res.headers.etag, '"2"')
    t.match(res.json(), {
      part_number: 'A-1',
      description: 'new',
      sourcing_type: 'purchased',
      properties: { a: 1 },
      revision: 2,
    })
    const cleared = await send('PUT', '/api/items/A-1', {
      payload: { sourcing_type: null, properties: {}, comment: null },
    })
    t.match(cleared.json(), { sourcing_type: null, description: 'new', revision: 3 })
    t.strictSame(cleared.json<Body>().properties, {})
    t.strictSame((await readEvents(app.db)).slice(1), [
      ['item.updated', 'A-1', 'mara', { revision: 2 }],
      ['revision.created', 'A-1', 'mara', { revision_number: 2, comment: 'why' }],
      ['item.updated', 'A-1', 'mara', { revision: 3 }],
      ['revision.created', 'A-1', 'mara', { revision_number: 3, comment: null }],
    ])
    t.strictSame(fieldsOf(await send('PUT', '/api/items/A-1', { payload: { part_number: 'A-2' } })), [
      'part_number',
    ])
    t.equal((await send('PUT', '/api/items/A-2', { payload: {} })).statusCode, 404)
  },
)

t.test('a PUT that changes nothing creates no revision and no event, and keeps the time', async (t) => {
  const { app, send } = await start(t)
  const item = (
    await send('POST', '/api/items', { payload: { part_number: 'A', properties: { a: 1, b: 2 } } })
  ).json<Body>()
  for (const payload of [
    {},
    { comment: 'again' },
    { description: '', properties: { b: 2, a: 1 }, sourcing_type: null },
  ]) {
    const res = await send('PUT', '/api/items/A', { payload })
    t.equal(res.statusCode, 200)
    t.equal(res.headers.etag, '"1"')
    t.strictSame(res.json(), item)
  }
  t.equal((await readEvents(app.db)).length, 1)
  t.equal((await app.db`select from revisions`).length, 1)
})

t.test('If-Match of another revision gets a 412, and a malformed one a 400', async (t) => {
  const { app, send } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A' } })
  const put = (ifMatch: string, description: string) =>
    send('PUT', '/api/items/A', { payload: { description }, headers: { 'if-match': ifMatch } })
  for (const stale of ['"2"', 'W/"2"', '"01"', '"", "x"', '"99999999999999999999"', '"11-gzip"']) {
    const res = await put(stale, stale)
    t.equal(res.statusCode, 412, stale)
    t.equal(codeOf(res), 'revision_mismatch')
  }
  for (const garbage of ['1', '', '"1', '"1" "2"', '*, "1"', 'w/"1"']) {
    const res = await put(garbage, garbage)
    t.equal(res.statusCode, 400, garbage)
    t.strictSame(fieldsOf(res), ['if-match'])
  }
  for (const hostile of [', '.repeat(4000), '\t,'.repeat(4000), '"1",'.repeat(3000)]) {
    t.equal((await put(`"1", ${hostile}x`, 'hangs')).statusCode, 400, 'without blocking the event loop')
  }
  t.equal((await send('DELETE', '/api/items/A', { headers: { 'if-match': '"7"' } })).statusCode, 412)
  t.equal((await readEvents(app.db)).length, 1, 'nothing was written')
  t.equal((await put('"9" ,\t"1",', 'a')).json<Body>().revision, 2)
  t.equal((await put('*', 'b')).json<Body>().revision, 3)
  t.equal((await send('DELETE', '/api/items/A', { headers: { 'if-match': '"3"' } })).statusCode, 204)
})

t.test('an ETag is valid in the form that an intermediary gave it', async (t) => {
  const { send } = await start(t)
  const { id } = (await send('POST', '/api/items', { payload: { part_number: 'A' } })).json<Body>()
  const marked = (n: number) => [
    `W/"${n}"`,
    `"${n}-gzip"`,
    `W/"${n}-br"`,
    `"${n}--gzip"`,
    `"${n};gzip"`,
    `"${n}"-gzip`,
  ]
  for (const url of ['/api/items/A', `/api/items/by-uuid/${id}`, '/api/items/A/revisions/1']) {
    for (const tag of marked(1)) {
      const held = await send('GET', url, { headers: { 'if-none-match': tag } })
      t.equal(held.statusCode, 304, `${url} ${tag}`)
      t.equal(held.headers.etag, '"1"')
    }
    t.equal((await send('GET', url, { headers: { 'if-none-match': 'W/"2-gzip"' } })).statusCode, 200)
  }
  let revision = 1
  for (let i = 0; i < marked(1).length; i++) {
    const headers = { 'if-match': marked(revision)[i] }
    const changed = await send('PUT', '/api/items/A', { payload: { description: `${i}` }, headers })
    t.equal(changed.statusCode, 200, `changed from revision ${revision}`)
    t.equal((await send('PUT', '/api/items/A', { payload: { description: 'x' }, headers })).statusCode, 412)
    revision++
  }
  const headers = { 'if-match': `W/"${revision}-zstd"` }
  const posted = await send('POST', '/api/items/A/revisions', { payload: { comment: 'c' }, headers })
  t.equal(posted.statusCode, 201)
  t.equal(posted.headers.etag, `"${++revision}"`)
  const archived = await send('DELETE', '/api/items/A', { headers: { 'if-match': `W/"${revision}"` } })
  t.equal(archived.statusCode, 204)
})

t.test('of several concurrent PUTs with If-Match of one revision exactly one succeeds', async (t) => {
  const { app, send } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A' } })
  const put = (n: number) =>
    send('PUT', '/api/items/A', { payload: { description: `by ${n}` }, headers: { 'if-match': '"1"' } })
  // Four at a time, the limit of one user, see revision 1 and wait for the lock of the row. Each must compare
  // the revision again when it has the lock.
  const { answers } = await app.feedDb.begin(async (tx) => {
    await tx`select from items for update`
    const answers = Promise.all(Array.from({ length: 8 }, (_, n) => put(n)))
    await waitForWaiters(app.feedDb, 4)
    return { answers }
  })
  const statuses = (await answers).map((res) => res.statusCode)
  t.strictSame(statuses.sort(), [200, 412, 412, 412, 412, 412, 412, 412])
  t.equal((await readEvents(app.db)).length, 3)
})

t.test(
  'concurrent PUTs without a condition create revisions without a gap, and lose no change of another field',
  async (t) => {
    const { app, send } = await start(t)
    await send('POST', '/api/items', { payload: { part_number: 'A' } })
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        send('PUT', '/api/items/A', { payload: { [n % 2 ? 'description' : 'long_description']: `${n}` } }),
      ),
    )
    const numbers = answers.map((res) => res.json<Body>().revision).sort((a, b) => a - b)
    t.strictSame(
      numbers,
      Array.from({ length: 40 }, (_, n) => n + 2),
    )
    const item = (await send('GET', '/api/items/A')).json<Body & { long_description: string }>()
    t.equal(item.revision, 41)
    t.equal(Number(item.description) % 2, 1)
    t.equal(Number(item.long_description) % 2, 0)
    const revisions = await app.db<
      { n: number }[]
    >`select revision_number as n from revisions order by created_at, n`
    t.strictSame(
      revisions.map(({ n }) => n),
      Array.from({ length: 41 }, (_, n) => n + 1),
    )
  },
)

t.test('DELETE archives: the item is no longer listed or found, and item.deleted is written', async (t) => {
  const { app, send } = await start(t)
  const { id } = (await send('POST', '/api/items', { payload: { part_number: 'A' } })).json<Body>()
  const res = await send('DELETE', '/api/items/a')
  t.equal(res.statusCode, 204)
  t.equal(res.body, '')
  for (const answer of [
    await send('GET', '/api/items/A'),
    await send('GET', `/api/items/by-uuid/${id}`),
    await send('PUT', '/api/items/A', { payload: { description: 'x' } }),
    await send('DELETE', '/api/items/A'),
  ]) {
    t.equal(answer.statusCode, 404)
    t.equal(codeOf(answer), 'item_not_found')
    t.match(answer.json<{ message: string }>().message, /archived/)
  }
  t.strictSame((await send('GET', '/api/items')).json<Page>().items, [])
  t.strictSame((await readEvents(app.db)).slice(1), [['item.deleted', 'A', 'mara', {}]])
})

t.test('reads require viewer, and writes require editor and a server that is not read-only', async (t) => {
  const app = await startApp(t, { READ_ONLY: true })
  const view = await clientAs(app, 'viewer')
  const edit = await clientAs(app, 'editor')
  t.equal((await app.inject('/api/items')).statusCode, 401)
  t.equal((await view('GET', '/api/items')).statusCode, 200)
  const csv = { payload: 'Part Number\nA\n', headers: { 'content-type': 'text/csv' } }
  const writes = [
    ['POST', '/api/items', { payload: { part_number: 'A' } }],
    ['PUT', '/api/items/A', { payload: {} }],
    ['DELETE', '/api/items/A', {}],
    ['POST', '/api/items/A/revisions', { payload: { comment: 'x' } }],
    ['POST', '/api/items/import', csv],
  ] as const
  for (const [method, url, body] of writes) {
    t.equal((await view(method, url, body)).statusCode, 403, `${method} ${url}`)
    const res = await edit(method, url, body)
    t.equal(res.statusCode, 503, `${method} ${url}`)
    t.equal(codeOf(res), 'server_read_only')
  }
  t.strictSame(await readEvents(app.db), [])
})

t.test('a list is paged by key, so that changes between pages repeat and skip nothing', async (t) => {
  const { app, send } = await start(t)
  for (const n of ['b-2', 'A-1', 'c-3', 'B-10', 'a-2'])
    await send('POST', '/api/items', { payload: { part_number: n } })
  await send('PUT', '/api/items/A-1', { payload: { description: 'changed last' } })
  // Several items may have the same millisecond: the id then decides.
  await app.db.unsafe(
    'alter table items disable trigger user; update items set created_at = now(); ' +
      'alter table items enable trigger user',
  )

  const walk = async (sort: string) => {
    const numbers: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const url: string = `/api/items?sort=${sort}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`
      const page = (await send('GET', url)).json<Page>()
      numbers.push(...page.items.map((item) => item.part_number))
      cursor = page.next_cursor
    }
    return numbers
  }
  t.strictSame(await walk('part_number'), ['A-1', 'a-2', 'B-10', 'b-2', 'c-3'])
  t.strictSame(await walk('-part_number'), ['c-3', 'b-2', 'B-10', 'a-2', 'A-1'])
  t.strictSame(await walk('updated_at'), ['b-2', 'c-3', 'B-10', 'a-2', 'A-1'])
  t.strictSame(await walk('-updated_at'), ['A-1', 'a-2', 'B-10', 'c-3', 'b-2'])
  t.strictSame((await walk('created_at')).sort(), ['A-1', 'B-10', 'a-2', 'b-2', 'c-3'])
  t.strictSame((await walk('-created_at')).reverse(), await walk('created_at'))

  const first = (await send('GET', '/api/items?limit=2')).json<Page>()
  await send('DELETE', '/api/items/A-1')
  await send('POST', '/api/items', { payload: { part_number: 'A-0' } })
  const second = (await send('GET', `/api/items?limit=500&cursor=${first.next_cursor}`)).json<Page>()
  t.strictSame(
    second.items.map((item) => item.part_number),
    ['B-10', 'b-2', 'c-3'],
  )
  t.equal(second.next_cursor, null)
})

t.test('an invalid cursor, or one of another order, gets a 400 on the field cursor', async (t) => {
  const { send } = await start(t)
  await send('POST', '/api/items', { payload: { part_number: 'A' } })
  await send('POST', '/api/items', { payload: { part_number: 'B' } })
  const { next_cursor } = (await send('GET', '/api/items?limit=1')).json<Page>()
  const forged = (place: unknown) => Buffer.from(JSON.stringify(place)).toString('base64url')
  for (const query of [
    'cursor=',
    'cursor=abc',
    'cursor=%00',
    `cursor=${forged(null)}`,
    `cursor=${forged({ sort: 'part_number', part_number: '\0' })}`,
    `sort=updated_at&cursor=${forged({ sort: 'updated_at', at: 1e300, id: 'x' })}`,
    `sort=updated_at&cursor=${forged({ sort: 'updated_at', at: 1, id: 'x' })}`,
    `sort=updated_at&cursor=${next_cursor}`,
    `sort=-part_number&cursor=${next_cursor}`,
  ]) {
    const res = await send('GET', `/api/items?${query}`)
    t.equal(res.statusCode, 400, query)
    t.strictSame(fieldsOf(res), ['cursor'])
  }
})

t.test(
  'search finds words, and parts of words, in number or description, literally and in any case',
  async (t) => {
    const { send } = await start(t)
    const items = {
      'A-1': 'Y gantry PLATE',
      B_2: 'plate 100% steel',
      'B-3': 'back\\slash',
      'C-4': 'Größe ÄNDERN',
    }
    for (const [part_number, description] of Object.entries(items)) {
      await send('POST', '/api/items', { payload: { part_number, description } })
    }
    const found = async (search: string) =>
      (await send('GET', `/api/items?search=${encodeURIComponent(search)}`))
        .json<Page>()
        .items.map((item) => item.part_number)
    t.strictSame(await found('antr'), ['A-1'])
    t.strictSame(await found('plate'), ['A-1', 'B_2'])
    t.strictSame(await found('  PLATE\t a-1 '), ['A-1'], 'each word is found, some of them in the number')
    t.strictSame(await found('plate gantry zzz'), [])
    t.strictSame(await found('%'), ['B_2'])
    t.strictSame(await found('b_'), ['B_2'])
    t.strictSame(await found('\\'), ['B-3'])
    t.strictSame(await found('grösse'), ['C-4'])
    t.strictSame(await found('GRÖßE ändern'), ['C-4'])
    t.equal((await found(' ')).length, 4)
  },
)

t.test('item_type and updated_since filter the list, and invalid parameters are named', async (t) => {
  const { send } = await start(t)
  const make = async (part_number: string, item_type: string) =>
    (await send('POST', '/api/items', { payload: { part_number, item_type } })).json<Body>()
  await make('A', 'tool')
  const second = await make('B', 'drawing')
  await make('C', 'part')
  const list = async (query: string) =>
    (await send('GET', `/api/items?${query}`)).json<Page>().items.map((item) => item.part_number)
  t.strictSame(await list('item_type=tool'), ['A'])
  t.strictSame(await list('item_type=tool&item_type=part'), ['A', 'C'])
  t.strictSame(
    (await list(`updated_since=${second.updated_at}`)).includes('B'),
    true,
    'the bound is inclusive',
  )
  const offset = second.updated_at.replace('Z', '%2B00:00')
  t.strictSame(await list(`updated_since=${offset}`), await list(`updated_since=${second.updated_at}`))
  t.strictSame(await list('updated_since=0000-01-01T00:00:00Z'), ['A', 'B', 'C'])
  t.strictSame(await list('updated_since=9999-12-31T23:59:59Z'), [])
  for (const query of [
    'item_type=thing',
    'updated_since=yesterday',
    'updated_since=2026-02-08',
    'updated_since=2016-12-31T23:59:60Z',
    'sort=price',
    'limit=0',
    'limit=501',
    'limit=x',
    'offset=3',
    'search=%00',
  ]) {
    const res = await send('GET', `/api/items?${query}`)
    t.equal(res.statusCode, 400, query)
    t.match(fieldsOf(res)[0], query.split('=')[0])
  }
})

t.test('a list has the event_cursor from before its rows were read', async (t) => {
  const { app, send } = await start(t)
  const { event_cursor } = (await send('GET', '/api/items')).json<Page>()
  t.equal(event_cursor, app.sse.head)
})

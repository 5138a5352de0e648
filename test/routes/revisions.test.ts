import t, { type Test } from 'tap'
import { startApp } from '../harness/app.js'
import { codeOf, fieldsOf, readEvents, clientAs } from '../harness/client.js'

interface Body {
  revision_number: number
  description: string
  comment: string | null
  created_by: string
}

interface Page {
  revisions: Body[]
  next_cursor: string | null
}

async function start(t: Test) {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor', 'mara')
  await send('POST', '/api/items', {
    payload: { part_number: 'A-1', description: 'one', properties: { kg: 1 } },
  })
  return { app, send }
}

t.test('every change creates a revision with the whole state, which stays readable unchanged', async (t) => {
  const { send } = await start(t)
  await send('PUT', '/api/items/A-1', { payload: { description: 'two', comment: 'why' } })
  await send('PUT', '/api/items/A-1', { payload: { properties: { kg: 2 } } })
  const second = await send('GET', '/api/items/a-1/revisions/2')
  t.equal(second.statusCode, 200)
  const body = second.json<Body & { created_at: string }>()
  t.strictSame(body, {
    part_number: 'A-1',
    revision_number: 2,
    item_type: 'part',
    description: 'two',
    long_description: '',
    sourcing_type: null,
    properties: { kg: 1 },
    comment: 'why',
    created_at: body.created_at,
    created_by: 'mara',
  })
  t.match(body.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  const first = (await send('GET', '/api/items/A-1/revisions/1')).json<Body>()
  t.match(first, { revision_number: 1, description: 'one', comment: null })
})

t.test('revisions are listed in pages, newest first, and the newest number is the ETag', async (t) => {
  const { send } = await start(t)
  for (let n = 2; n <= 5; n++) await send('PUT', '/api/items/A-1', { payload: { description: `${n}` } })
  const numbers: number[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const url: string = `/api/items/a-1/revisions?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`
    const page = (await send('GET', url)).json<Page>()
    numbers.push(...page.revisions.map((revision) => revision.revision_number))
    cursor = page.next_cursor
  }
  t.strictSame(numbers, [5, 4, 3, 2, 1])
  t.equal((await send('GET', '/api/items/A-1')).headers.etag, '"5"')
  for (const cursor of ['abc', Buffer.from('{"revision_number":0}').toString('base64url')]) {
    const res = await send('GET', `/api/items/A-1/revisions?cursor=${cursor}`)
    t.equal(res.statusCode, 400)
    t.strictSame(fieldsOf(res), ['cursor'])
  }
})

t.test('POST creates a revision, with or without a change, and stores its comment', async (t) => {
  const { app, send } = await start(t)
  const res = await send('POST', '/api/items/a-1/revisions', { payload: { comment: 'Released' } })
  t.equal(res.statusCode, 201)
  t.equal(res.headers.location, '/api/items/A-1/revisions/2')
  t.equal(res.headers.etag, '"2"')
  t.strictSame(
    res.json(),
    (await send('GET', '/api/items/A-1/revisions/2')).json(),
    'as it is read afterwards',
  )
  const heavier = await send('POST', '/api/items/A-1/revisions', {
    payload: { comment: 'Updated weight', properties: { kg: 2 }, description: 'new' },
  })
  t.match(heavier.json(), {
    revision_number: 3,
    description: 'new',
    properties: { kg: 2 },
    comment: 'Updated weight',
  })
  t.match((await send('GET', '/api/items/A-1')).json(), {
    revision: 3,
    description: 'new',
    updated_by: 'mara',
  })
  t.strictSame((await readEvents(app.db)).slice(1), [
    ['item.updated', 'A-1', 'mara', { revision: 2 }],
    ['revision.created', 'A-1', 'mara', { revision_number: 2, comment: 'Released' }],
    ['item.updated', 'A-1', 'mara', { revision: 3 }],
    ['revision.created', 'A-1', 'mara', { revision_number: 3, comment: 'Updated weight' }],
  ])
})

t.test('a posted revision requires a comment, and honours If-Match', async (t) => {
  const { app, send } = await start(t)
  const post = (payload: object, headers = {}) =>
    send('POST', '/api/items/A-1/revisions', { payload, headers })
  t.strictSame(fieldsOf(await post({})), ['comment'])
  t.strictSame(fieldsOf(await post({ comment: '' })), ['comment'])
  t.strictSame(fieldsOf(await post({ comment: 'x', part_number: 'A-1' })), ['part_number'])
  t.equal(codeOf(await post({ comment: 'x' }, { 'if-match': '"2"' })), 'revision_mismatch')
  t.equal((await readEvents(app.db)).length, 1, 'nothing was written')
  t.equal((await post({ comment: 'x' }, { 'if-match': '"1"' })).statusCode, 201)
})

t.test('an archived item keeps its revisions and accepts no new one', async (t) => {
  const { send } = await start(t)
  await send('DELETE', '/api/items/A-1')
  const page = (await send('GET', '/api/items/A-1/revisions')).json<Page>()
  t.equal(page.revisions.length, 1)
  t.equal((await send('GET', '/api/items/A-1/revisions/1')).statusCode, 200)
  t.equal((await send('POST', '/api/items/A-1/revisions', { payload: { comment: 'x' } })).statusCode, 404)
})

t.test('a missing item and a missing revision have different error codes', async (t) => {
  const { send } = await start(t)
  t.equal(codeOf(await send('GET', '/api/items/A-1/revisions/2')), 'revision_not_found')
  t.equal(codeOf(await send('GET', '/api/items/B/revisions/1')), 'item_not_found')
  t.equal(codeOf(await send('GET', '/api/items/B/revisions')), 'item_not_found')
  t.equal(
    codeOf(await send('POST', '/api/items/B/revisions', { payload: { comment: 'x' } })),
    'item_not_found',
  )
  for (const number of ['0', '-1', '1.5', 'x', '2147483648']) {
    t.strictSame(fieldsOf(await send('GET', `/api/items/A-1/revisions/${number}`)), ['revision_number'])
  }
})

import { request as httpRequest } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { ImportResult } from '../../schemas/import.js'
import { createToken, startApp } from '../harness/app.js'
import { eventually } from '../../tools/harness/eventually.js'
import { readEvents, clientAs } from '../harness/client.js'

const CSV = { headers: { accept: 'text/csv' } }

t.test(
  'GET with Accept: text/csv returns all matching items, with texts in columns and other values as JSON',
  async (t) => {
    const app = await startApp(t)
    const send = await clientAs(app, 'editor')
    const make = (payload: object) => send('POST', '/api/items', { payload })
    await make({ part_number: 'B-1', description: 'two, "three"', properties: { Color: 'red', n: 7 } })
    await make({
      part_number: 'A-1',
      item_type: 'tool',
      sourcing_type: 'purchased',
      properties: { Size: 'M' },
    })
    await make({
      part_number: 'C-1',
      properties: { Color: '', Empty: '', ' pad': 'x', type: 'y', Size: { w: 1 } },
    })
    await make({ part_number: 'gone' })
    await send('DELETE', '/api/items/gone')
    const res = await send('GET', '/api/items?limit=1', CSV)
    t.equal(res.statusCode, 200)
    t.equal(res.headers['content-type'], 'text/csv; charset=utf-8')
    t.equal(res.headers.vary, 'accept')
    t.equal(
      res.body,
      [
        'part_number,item_type,description,long_description,sourcing_type,' +
          'Color,Size,properties,formulas_escaped',
        'A-1,tool,,,purchased,,M,,',
        'B-1,part,"two, ""three""",,,red,,"{""n"":7}",',
        'C-1,part,,,,,,"{"" pad"":""x"",""Size"":{""w"":1},""type"":""y"",""Color"":"""",""Empty"":""""}",',
        '',
      ].join('\n'),
    )
    t.equal(
      (await send('GET', '/api/items?item_type=tool', CSV)).body,
      'part_number,item_type,description,long_description,sourcing_type,Size,properties,formulas_escaped\n' +
        'A-1,tool,,,purchased,M,,\n',
    )
    t.equal(
      (await send('GET', '/api/items?search=nothing', CSV)).body,
      'part_number,item_type,description,long_description,sourcing_type,properties,formulas_escaped\n',
    )
    for (const accept of ['*/*', 'application/json, text/csv;q=0.9', 'image/png']) {
      t.match(
        (await send('GET', '/api/items', { headers: { accept } })).headers['content-type'],
        /^application\/json/,
      )
    }
  },
)

t.test('importing an export again leaves every item unchanged', async (t) => {
  const app = await startApp(t)
  const send = await clientAs(app, 'editor')
  const texts = [
    'a,b',
    '"',
    '\r',
    '\n',
    '\r\n',
    ' pad ',
    '=1+1',
    '\ufeff',
    '\u2028',
    "'",
    '😀',
    '\t',
    '""',
    'null',
  ]
  for (const [n, text] of texts.entries()) {
    const properties = {
      [text]: text,
      [`k${n}`]: text,
      Name: 'x',
      '': 'y',
      constructor: 'z',
      deep: { [text]: [1, text] },
    }
    const payload = { part_number: `P-${n}`, description: text, long_description: text, properties }
    t.equal((await send('POST', '/api/items', { payload })).statusCode, 201)
  }
  const before = await readEvents(app.db)
  const { body } = await send('GET', '/api/items', CSV)
  for (const policy of ['error', 'update']) {
    const res = await send('POST', `/api/items/import?on_conflict=${policy}`, {
      payload: body,
      headers: { 'content-type': 'text/csv' },
    })
    t.strictSame(res.json<ImportResult>(), {
      created: 0,
      updated: 0,
      skipped: 0,
      unchanged: texts.length,
      errors: [],
    })
  }
  t.strictSame(await readEvents(app.db), before)
})

t.test('a download that is not read holds no database connection', async (t) => {
  const app = await startApp(t)
  await app.db`
    insert into items (part_number, long_description)
    select 'P-' || n, repeat('x', 6000)
      from generate_series(1, 1500) as n
  `
  await app.listen({ port: 0 })
  const { port } = app.server.address() as AddressInfo
  const headers = { authorization: `Bearer ${await createToken(app.db, 'viewer')}`, accept: 'text/csv' }
  const download = async () => {
    const request = httpRequest({ port, path: '/api/items', headers, agent: false })
    request.on('error', () => undefined)
    request.end()
    const [response] = (await once(request, 'response')) as [{ statusCode: number; destroy(): void }]
    return response
  }
  const running = await Promise.all(Array.from({ length: 12 }, download))
  t.ok(running.every((response) => response.statusCode === 200))
  const answers = await Promise.all(Array.from({ length: 12 }, () => app.db`select 1`))
  t.equal(answers.length, 12, 'the pool serves other queries')
  const busy = async () => {
    const [row] = await app.feedDb<{ count: number }[]>`
      select count(*)::integer as count
        from pg_stat_activity
       where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()
    `
    return row?.count
  }
  await eventually(
    'no connection is busy while the downloads are not read',
    async () => (await busy()) === 0,
    {
      timeoutMs: 10_000,
    },
  )
  for (const response of running) response.destroy()
})

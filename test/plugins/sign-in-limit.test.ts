import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { startApp } from '../harness/app.js'
import { WindowCounters } from '../../lib/window-counters.js'
import { PASSWORD, createPerson, login } from '../harness/people.js'

interface Client {
  remoteAddress?: string
  headers?: Record<string, string>
}

/** Tries to sign in `times` times, one after the other, and returns the statuses. */
async function attempt(
  app: FastifyInstance,
  times: number,
  username: (i: number) => string,
  client: (i: number) => Client = () => ({}),
): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < times; i += 1) {
    statuses.push((await login(app, username(i), PASSWORD, client(i))).statusCode)
  }
  return statuses
}

const last = (statuses: number[]): number | undefined => statuses.at(-1)
const count = (statuses: number[], status: number): number => statuses.filter((s) => s === status).length

t.test('one address can try one user ten times a minute', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const statuses = await attempt(app, 11, (i) => (i % 2 ? 'mara' : 'MARA'))
  t.strictSame(statuses, [...Array<number>(10).fill(200), 429])
  const res = await login(app, 'mara')
  t.match(res.json(), { error: 'rate_limited', details: [] })
  const wait = Number(res.headers['retry-after'])
  t.ok(Number.isInteger(wait) && wait > 0 && wait <= 60, 'Retry-After is within the minute')
  t.strictSame(res.cookies, [], 'even the right password is refused')

  const form = await app.inject({
    method: 'POST',
    url: '/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: `username=mara&password=${encodeURIComponent(PASSWORD)}`,
  })
  t.equal(form.statusCode, 303)
  t.equal(form.headers.location, '/login?error=rate_limited', 'the form has the same limit')
  t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.7' })).statusCode, 200)
})

t.test('one address can try thirty times a minute, whatever the usernames', async (t) => {
  const app = await startApp(t)
  for (const name of ['a', 'b', 'c', 'd']) await createPerson(app.db, name, 'viewer')
  const statuses = await attempt(app, 31, (i) => 'abcd'.charAt(i % 4))
  t.equal(count(statuses, 200), 30)
  t.equal(last(statuses), 429)
})

t.test('an IPv6 network of 64 bits counts as one address', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const statuses = await attempt(
    app,
    11,
    () => 'mara',
    (i) => ({ remoteAddress: `2001:db8:0:1::${i.toString(16)}` }),
  )
  t.equal(last(statuses), 429)
  t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: '2001:db8:0:2::1' })).statusCode, 200)
})

t.test('one user can be tried sixty times a minute, whatever the addresses', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await createPerson(app.db, 'theo', 'viewer')
  const from = (i: number) => ({ remoteAddress: `198.51.100.${i}` })
  const statuses = await attempt(app, 61, () => 'mara', from)
  t.equal(count(statuses, 200), 60)
  t.equal(last(statuses), 429)
  t.equal((await login(app, 'theo', PASSWORD, from(1))).statusCode, 200)
})

t.test('one address alone cannot lock a user out', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await attempt(app, 100, () => 'mara')
  t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.7' })).statusCode, 200)
})

t.test('two clients behind a trusted proxy are counted separately', async (t) => {
  const app = await startApp(t, { TRUST_PROXY: ['10.0.0.0/8'] })
  await createPerson(app.db, 'mara', 'viewer')
  const behind = (client: string) => ({ remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': client } })
  const one = await attempt(
    app,
    11,
    () => 'mara',
    () => behind('203.0.113.1'),
  )
  t.equal(last(one), 429)
  t.equal((await login(app, 'mara', PASSWORD, behind('203.0.113.2'))).statusCode, 200)

  const forged = await login(app, 'mara', PASSWORD, behind('203.0.113.9, 203.0.113.1'))
  t.equal(forged.statusCode, 429, 'an address that the client itself has sent does not count')
})

t.test('an address is one client, whatever port a trusted proxy appends to it', async (t) => {
  const app = await startApp(t, { TRUST_PROXY: ['10.0.0.0/8'] })
  await createPerson(app.db, 'mara', 'viewer')
  const behind = (client: string) => ({ remoteAddress: '10.0.0.1', headers: { 'x-forwarded-for': client } })
  const spellings = ['203.0.113.50', '[203.0.113.50]', '::ffff:203.0.113.50', '::FFFF:cb00:7132'].flatMap(
    (address) => [address, `${address.replace(/^(::.*)$/, '[$1]')}:4711`],
  )
  const statuses = await attempt(
    app,
    61,
    () => 'mara',
    (i) => behind(spellings[i % spellings.length]?.replace('4711', `${40_000 + i}`) ?? ''),
  )
  t.equal(count(statuses, 200), 10)
  t.equal(last(statuses), 429)
  const other = await login(app, 'mara', PASSWORD, behind('198.51.100.7:40000'))
  t.equal(other.statusCode, 200, 'the user is not locked out elsewhere')
})

t.test('a forged X-Forwarded-For of an untrusted peer is ignored', async (t) => {
  for (const TRUST_PROXY of [[], ['10.0.0.0/8']]) {
    const app = await startApp(t, { TRUST_PROXY })
    await createPerson(app.db, 'mara', 'viewer')
    const statuses = await attempt(
      app,
      11,
      () => 'mara',
      (i) => ({ remoteAddress: '192.0.2.1', headers: { 'x-forwarded-for': `203.0.113.${i}` } }),
    )
    t.equal(last(statuses), 429)
  }
})

t.test('concurrent attempts are counted like consecutive ones', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const answers = await Promise.all(Array.from({ length: 40 }, () => login(app, 'mara')))
  t.equal(
    count(
      answers.map((res) => res.statusCode),
      200,
    ),
    10,
  )
})

t.test('a username has no other spelling that the limit counts as another name', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'kim', 'viewer')
  t.equal((await login(app, 'KIM')).statusCode, 200)
  for (const name of ['kİm', 'kım', 'k\u0456m', ' kim', 'kim ']) {
    t.equal((await login(app, name)).statusCode, 401, JSON.stringify(name))
  }
})

t.test('a username in full-width letters is the same name, for the limit too', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'kim', 'viewer')
  for (const name of ['ｋｉｍ', '\u212Aim']) t.equal((await login(app, name)).statusCode, 200, name)
  const spellings = ['kim', 'KIM', 'ｋｉｍ', 'ＫＩＭ', '\u212Aim']
  const statuses: number[] = []
  for (let n = 0; n < 12; n++) statuses.push((await login(app, spellings[n % 5] ?? '', 'wrong')).statusCode)
  t.ok(statuses.includes(429), 'ten attempts a minute, whatever the spelling')
})

/** Returns the cookies that a browser sends after this response. */
const browserOf = (res: {
  cookies: { name: string; value: string }[]
}): { cookies: Record<string, string> } => ({
  cookies: Object.fromEntries(res.cookies.map(({ name, value }) => [name, value])),
})

t.test('a count is not evicted by attempts with other names, from however many networks', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const from = (i: number) => ({ remoteAddress: `2001:db8:${i.toString(16)}::1` })
  const wrong = (name: string, i: number) => login(app, name, 'wrong', from(i))
  for (let i = 0; i < 60; i += 1) await wrong('mara', i)
  t.equal((await wrong('mara', 60)).statusCode, 429)
  for (let i = 0; i < 20; i += 1) t.equal((await wrong(`nobody-${i}`, 100 + i)).statusCode, 401)
  t.equal((await wrong('mara', 61)).statusCode, 429)
})

t.test('attempts from elsewhere lock no user out of a browser with a device cookie', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await createPerson(app.db, 'theo', 'viewer')
  const mine = { remoteAddress: '203.0.113.1' }
  const first = await login(app, 'mara', PASSWORD, mine)
  t.equal(first.statusCode, 200)
  const browser = browserOf(first)
  for (let i = 0; i < 60; i += 1) {
    await login(app, 'mara', 'wrong', { remoteAddress: `198.51.100.${i}` })
  }
  t.equal(
    (await login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.1' })).statusCode,
    429,
    'another browser is',
  )
  for (let i = 0; i < 15; i += 1) {
    const res = await login(app, 'mara', PASSWORD, { ...mine, ...browser })
    t.equal(res.statusCode, 200, 'the right password is not counted')
  }
  const statuses: number[] = []
  for (let i = 0; i < 12; i += 1) {
    statuses.push((await login(app, 'mara', 'wrong', { ...mine, ...browser })).statusCode)
  }
  t.strictSame(
    statuses,
    [...Array<number>(10).fill(401), 429, 429],
    'wrong passwords are limited as in any other',
  )
  const both = browserOf(await login(app, 'theo', PASSWORD, { ...mine, ...browser }))
  for (let i = 0; i < 60; i += 1) {
    await login(app, 'theo', 'wrong', { remoteAddress: `198.51.100.${100 + i}` })
  }
  t.equal(
    (await login(app, 'theo', PASSWORD, { ...mine, ...both })).statusCode,
    200,
    'a browser may have several users',
  )
})

t.test('a device cookie is bound to one user, cannot be forged, and authenticates nothing', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await createPerson(app.db, 'theo', 'viewer')
  const res = await login(app, 'mara')
  const device = res.cookies.find(({ name }) => name.includes('silo_device'))
  t.match(device, { httpOnly: true, sameSite: 'Strict', path: '/' })
  const name = device?.name ?? ''
  const value = device?.value ?? ''
  for (let i = 0; i < 60; i += 1) {
    await login(app, i % 2 ? 'mara' : 'theo', 'wrong', { remoteAddress: `198.51.100.${i}` })
    await login(app, i % 2 ? 'theo' : 'mara', 'wrong', { remoteAddress: `198.51.100.${i}` })
  }
  const elsewhere = { remoteAddress: '192.0.2.1' }
  t.equal((await login(app, 'mara', PASSWORD, { ...elsewhere, cookies: { [name]: value } })).statusCode, 200)
  const [nonce = '', mac = ''] = value.split('~')
  for (const made of [
    `${nonce}~${mac.slice(1)}A`,
    `${'A'.repeat(22)}~${mac}`,
    '',
    '.',
    'x~y',
    '~'.repeat(5000),
  ]) {
    const answer = await login(app, 'mara', PASSWORD, { ...elsewhere, cookies: { [name]: made } })
    t.equal(answer.statusCode, 429, made.slice(0, 30))
  }
  t.equal((await login(app, 'theo', PASSWORD, { ...elsewhere, cookies: { [name]: value } })).statusCode, 429)
  const me = await app.inject({ url: '/api/auth/me', cookies: { [name]: value } })
  t.equal(me.statusCode, 401)
})

t.test('IPv6 networks of 56 and of 48 bits count as one client, so none locks a user out', async (t) => {
  for (const networks of [
    (i: number) => `2001:db8:0:${i.toString(16)}::1`,
    (i: number) => `2001:db8:0:${(i * 256).toString(16)}::1`,
  ]) {
    const app = await startApp(t)
    await createPerson(app.db, 'mara', 'viewer')
    const statuses = await attempt(
      app,
      70,
      () => 'mara',
      (i) => ({ remoteAddress: networks(i) }),
    )
    t.ok(count(statuses, 429) >= 40)
    t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.7' })).statusCode, 200)
  }
})

t.test('an existing and an unknown username are limited alike', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const seen = async (name: string, net: number) => {
    const answers: unknown[] = []
    for (let i = 0; i < 12; i += 1) {
      const res = await login(app, name, 'wrong', { remoteAddress: `198.51.100.${net}` })
      const headers = Object.entries(res.headers).filter(
        ([name]) => name !== 'date' && name !== 'retry-after',
      )
      answers.push([res.statusCode, res.body, headers, res.headers['retry-after'] !== undefined])
    }
    return answers
  }
  t.strictSame(await seen('mara', 100), await seen('none', 101))
})

t.test('the queue serves the network with the fewest attempts first, whatever the flood', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const browser = browserOf(await login(app, 'mara', PASSWORD, { remoteAddress: '203.0.113.1' }))
  // 72 networks, each with ten concurrent attempts.
  const flood = Array.from({ length: 720 }, (_, i) =>
    login(app, `nobody-${i}`, 'wrong', { remoteAddress: `198.51.100.${i % 72}` }),
  )
  const fresh = login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.1' })
  const known = login(app, 'mara', PASSWORD, { remoteAddress: '198.51.100.1', ...browser })
  t.equal((await known).statusCode, 200)
  const first = (await fresh).statusCode
  t.ok(first === 200 || first === 503, 'a new network among 72 gets its turn, or a 503')
  t.ok(
    count(
      (await Promise.all(flood)).map(({ statusCode }) => statusCode),
      503,
    ) > 600,
  )
  const again = Array.from({ length: 300 }, (_, i) =>
    login(app, `nobody-${i}`, 'wrong', { remoteAddress: `198.51.100.${i % 20}` }),
  )
  t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.2' })).statusCode, 200)
  await Promise.all(again)
})

t.test('counts of other keys evict no count, and a count that is taken back uses no memory', async (t) => {
  const counters = new WindowCounters(60_000)
  for (let i = 0; i < 60; i += 1) counters.count('mara')
  for (let i = 0; i < 100_000; i += 1) counters.count(`other ${i}`)()
  t.equal(counters.get('mara'), 60)
  t.equal(counters.size, 1)
  for (let i = 0; i < 10_000; i += 1) counters.count(`other ${i}`)
  t.equal(counters.get('mara'), 60)
})

t.test('a body that is too large or no JSON counts against its own network, and no other', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const send = (payload: string, remoteAddress: string, headers = {}) =>
    app.inject({
      method: 'POST',
      url: '/api/auth/login',
      remoteAddress,
      headers: { 'content-type': 'application/json', ...headers },
      payload,
    })
  const large = JSON.stringify({ username: 'mara', password: 'x'.repeat(20_000) })
  for (const [body, status, network] of [
    [large, 413, '192.0.2'],
    ['{', 400, '198.51.100'],
  ] as const) {
    const statuses: number[] = []
    for (let i = 0; i < 31; i++) statuses.push((await send(body, `${network}.1`)).statusCode)
    t.strictSame(statuses, [...Array<number>(30).fill(status), 429])
    t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: `${network}.1` })).statusCode, 429)
    t.equal((await login(app, 'mara', PASSWORD, { remoteAddress: `${network}.2` })).statusCode, 200)
    const cookie = { cookie: 'silo_device_80=x' }
    t.equal(
      (await send('{', `${network}.1`, cookie)).statusCode,
      400,
      'a browser with a device cookie is not limited',
    )
  }
  for (let i = 0; i < 40; i++) {
    t.equal(
      (await send('{"username":1}', '203.0.113.1')).statusCode,
      400,
      'a body that is JSON is not counted',
    )
  }
})

import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { startApp } from '../harness/app.js'
import { PASSWORD, createPerson, signIn } from '../harness/people.js'

interface Client {
  remoteAddress?: string
  headers?: Record<string, string>
}

/** Tries to sign in so many times, one after the other; the statuses. */
async function attempt(
  app: FastifyInstance,
  times: number,
  username: (i: number) => string,
  client: (i: number) => Client = () => ({}),
): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < times; i += 1) {
    statuses.push((await signIn(app, username(i), PASSWORD, client(i))).statusCode)
  }
  return statuses
}

const last = (statuses: number[]): number | undefined => statuses.at(-1)
const count = (statuses: number[], status: number): number => statuses.filter((s) => s === status).length

t.test('one address tries one user ten times a minute', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const statuses = await attempt(app, 11, (i) => (i % 2 ? 'mara' : 'MARA'))
  t.strictSame(statuses, [...Array<number>(10).fill(200), 429])
  const res = await signIn(app, 'mara')
  t.match(res.json(), { error: 'rate_limited', details: [] })
  const wait = Number(res.headers['retry-after'])
  t.ok(Number.isInteger(wait) && wait > 0 && wait <= 60, 'says when to come back')
  t.strictSame(res.cookies, [], 'also the right password is not looked at')

  const form = await app.inject({
    method: 'POST',
    url: '/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: `username=mara&password=${encodeURIComponent(PASSWORD)}`,
  })
  t.equal(form.statusCode, 303)
  t.equal(form.headers.location, '/login?error=rate_limited', 'the form is no way around')
  t.equal((await signIn(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.7' })).statusCode, 200)
})

t.test('one address tries thirty times a minute, whomever', async (t) => {
  const app = await startApp(t)
  for (const name of ['a', 'b', 'c', 'd']) await createPerson(app.db, name, 'viewer')
  const statuses = await attempt(app, 31, (i) => 'abcd'.charAt(i % 4))
  t.equal(count(statuses, 200), 30)
  t.equal(last(statuses), 429)
})

t.test('an IPv6 network of 64 bits is one address', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const statuses = await attempt(
    app,
    11,
    () => 'mara',
    (i) => ({ remoteAddress: `2001:db8:0:1::${i.toString(16)}` }),
  )
  t.equal(last(statuses), 429)
  t.equal((await signIn(app, 'mara', PASSWORD, { remoteAddress: '2001:db8:0:2::1' })).statusCode, 200)
})

t.test('one user is tried sixty times a minute, from wherever', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await createPerson(app.db, 'theo', 'viewer')
  const from = (i: number) => ({ remoteAddress: `198.51.100.${i}` })
  const statuses = await attempt(app, 61, () => 'mara', from)
  t.equal(count(statuses, 200), 60)
  t.equal(last(statuses), 429)
  t.equal((await signIn(app, 'theo', PASSWORD, from(1))).statusCode, 200)
})

t.test('one address alone can not lock a user out', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  await attempt(app, 100, () => 'mara')
  t.equal((await signIn(app, 'mara', PASSWORD, { remoteAddress: '192.0.2.7' })).statusCode, 200)
})

t.test('two clients behind a trusted proxy are two', async (t) => {
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
  t.equal((await signIn(app, 'mara', PASSWORD, behind('203.0.113.2'))).statusCode, 200)

  const forged = await signIn(app, 'mara', PASSWORD, behind('203.0.113.9, 203.0.113.1'))
  t.equal(forged.statusCode, 429, 'what the client itself put before its address does not count')
})

t.test('an address is one client, whatever port a trusted proxy writes beside it', async (t) => {
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
  const other = await signIn(app, 'mara', PASSWORD, behind('198.51.100.7:40000'))
  t.equal(other.statusCode, 200, 'and the user is not locked out from elsewhere')
})

t.test('a forged X-Forwarded-For of a peer that is not trusted is ignored', async (t) => {
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

t.test('many attempts at once are counted like many in a row', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'mara', 'viewer')
  const answers = await Promise.all(Array.from({ length: 40 }, () => signIn(app, 'mara')))
  t.equal(
    count(
      answers.map((res) => res.statusCode),
      200,
    ),
    10,
  )
})

t.test('a name can not be spelled in another way that the limit takes for another name', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'kim', 'viewer')
  t.equal((await signIn(app, 'KIM')).statusCode, 200)
  for (const name of ['kİm', 'kım', 'k\u0456m', ' kim', 'kim ']) {
    t.equal((await signIn(app, name)).statusCode, 401, JSON.stringify(name))
  }
})

t.test('a name typed in full-width letters is the same name, for the limit too', async (t) => {
  const app = await startApp(t)
  await createPerson(app.db, 'kim', 'viewer')
  for (const name of ['ｋｉｍ', '\u212Aim']) t.equal((await signIn(app, name)).statusCode, 200, name)
  const spellings = ['kim', 'KIM', 'ｋｉｍ', 'ＫＩＭ', '\u212Aim']
  const statuses: number[] = []
  for (let n = 0; n < 12; n++) statuses.push((await signIn(app, spellings[n % 5] ?? '', 'wrong')).statusCode)
  t.ok(statuses.includes(429), 'ten tries a minute, in whatever spelling')
})

import Fastify from 'fastify'
import t, { type Test } from 'tap'
import forwarded from '../../plugins/forwarded.js'
import { testConfig } from '../harness/app.js'

/**
 * Starts an application that responds with the client's address, the host and the protocol of the request.
 */
async function start(t: Test, TRUST_PROXY: string[]) {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => lines.push(line) } } })
  app.decorate('config', testConfig('postgres://127.0.0.1/none', { TRUST_PROXY }))
  await app.register(forwarded)
  app.get('/', ({ ip, host, protocol }) => ({ ip, host, protocol }))
  t.teardown(() => app.close())
  const ask = async (remoteAddress: string, headers: Record<string, string | string[]>) =>
    (await app.inject({ url: '/', remoteAddress, headers })).json<{
      ip: string
      host: string
      protocol: string
    }>()
  return { ask, lines }
}

t.test('the client is the last address that is not a trusted proxy, however each is written', async (t) => {
  const { ask } = await start(t, ['10.0.0.0/8', 'fd00::/8'])
  const ipOf = async (peer: string, forwardedFor: string | string[]) =>
    (await ask(peer, { 'x-forwarded-for': forwardedFor })).ip
  t.equal(await ipOf('10.0.0.1', '203.0.113.50:40001'), '203.0.113.50')
  t.equal(await ipOf('::ffff:10.0.0.1', '[2001:DB8::1]:443'), '2001:db8::1')
  t.equal(await ipOf('10.0.0.1', '203.0.113.50:1, 10.0.0.2:2'), '203.0.113.50', 'a proxy with a port')
  t.equal(await ipOf('10.0.0.1', '203.0.113.50, [fd00::2%eth0]:2, ::ffff:a00:3'), '203.0.113.50')
  t.equal(await ipOf('10.0.0.1', ['203.0.113.50:1', '10.0.0.2:2']), '203.0.113.50', 'in two lines')
  t.equal(
    await ipOf('10.0.0.1', '198.51.100.1, 203.0.113.50'),
    '203.0.113.50',
    'after an address that the client sent',
  )
  t.equal(await ipOf('10.0.0.1', '10.0.0.9, , 203.0.113.50 ,'), '203.0.113.50', 'empty elements')
  t.equal(await ipOf('fd00::1', '10.0.0.2, 10.0.0.3'), '10.0.0.2', 'proxies alone')
})

t.test('a proxy that forwards no valid address counts as the client', async (t) => {
  const { ask } = await start(t, ['10.0.0.0/8'])
  for (const name of ['unknown', '_hidden', 'localhost', '', '::g', '203.0.113']) {
    t.equal((await ask('10.0.0.1', { 'x-forwarded-for': name })).ip, '10.0.0.1', name)
    const behindIt = `203.0.113.50, ${name || 'unknown'}`
    t.equal((await ask('10.0.0.1', { 'x-forwarded-for': behindIt })).ip, '10.0.0.1', behindIt)
  }
  t.equal((await ask('10.0.0.1', { 'x-forwarded-for': 'unknown, 10.0.0.2' })).ip, '10.0.0.2')
})

t.test('headers of an untrusted peer are ignored, and its address is canonical too', async (t) => {
  for (const trusted of [[], ['10.0.0.0/8']]) {
    const { ask } = await start(t, trusted)
    const headers = { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil' }
    t.strictSame(await ask('::ffff:192.0.2.1', { host: 'silo', ...headers }), {
      ip: '192.0.2.1',
      host: 'silo',
      protocol: 'http',
    })
  }
})

t.test('scheme and host are those that the outermost trusted proxy forwards', async (t) => {
  const { ask } = await start(t, ['10.0.0.0/8'])
  const chain = { 'x-forwarded-for': '203.0.113.50, 10.0.0.2:80' }
  const one = await ask('10.0.0.1', { 'x-forwarded-for': '203.0.113.50', 'x-forwarded-proto': 'http, https' })
  t.equal(one.protocol, 'https', 'with one proxy its own value counts, the last')
  const forged = await ask('10.0.0.1', {
    'x-forwarded-for': '203.0.113.50',
    'x-forwarded-proto': 'https, http',
  })
  t.equal(forged.protocol, 'http')
  const two = await ask('10.0.0.1', { ...chain, 'x-forwarded-proto': 'https, http' })
  t.equal(two.protocol, 'https', 'the outer one terminates TLS')
  t.equal((await ask('10.0.0.1', { ...chain, 'x-forwarded-proto': 'http,https,http' })).protocol, 'https')
  t.equal((await ask('10.0.0.1', { ...chain, 'x-forwarded-proto': 'HTTPS' })).protocol, 'https')
  t.equal((await ask('10.0.0.1', { ...chain, 'x-forwarded-host': 'a.example, b.example' })).host, 'a.example')
  t.equal((await ask('10.0.0.1', { host: 'c.example', 'x-forwarded-host': '' })).host, 'c.example')
})

t.test('forwarded headers from an untrusted address are logged, at a limited rate', async (t) => {
  const { ask, lines } = await start(t, ['10.0.0.0/8'])
  await ask('10.0.0.1', { 'x-forwarded-for': '203.0.113.50' })
  await ask('192.0.2.1', {})
  t.equal(lines.length, 0)
  for (let i = 0; i < 5; i += 1) await ask('192.0.2.1', { 'x-forwarded-for': 'a-secret', forwarded: 'for=b' })
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] ?? ''), {
    level: 40,
    peer: '192.0.2.1',
    headers: ['forwarded', 'x-forwarded-for'],
    msg: /TRUST_PROXY/,
  })
  t.notMatch(lines[0], 'a-secret')
})

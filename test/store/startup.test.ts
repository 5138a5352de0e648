import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import t, { type Test } from 'tap'
import { connect } from '../../store/driver/connect.js'

const PASSWORD = 'a-password-that-is-seen'

/** Builds an authentication message: its type, its length, the number of the method, and its data. */
function request(method: number, text = ''): Buffer {
  const body = Buffer.from(text, 'latin1')
  const head = Buffer.from([0x52, 0, 0, 0, 0, 0, 0, 0, method])
  head.writeInt32BE(8 + body.length, 1)
  return Buffer.concat([head, body])
}

/** The response of a server to a wrong password. */
const REFUSAL = (() => {
  const fields = Buffer.from('SFATAL\0VFATAL\0C28P01\0Mno\0\0')
  const head = Buffer.from([0x45, 0, 0, 0, 4 + fields.length])
  return Buffer.concat([head, fields])
})()

/**
 * Starts a server that responds to each message of a client with the next of `answers`.
 * @returns its address, and what it has received
 */
async function startServer(
  t: Test,
  host: string,
  answers: Buffer[],
): Promise<{ url: string; received: () => string }> {
  let received = ''
  const server = createServer((socket) => {
    const left = [...answers]
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      // Refuses TLS.
      if (bytes.length === 8) return void socket.write('N')
      received += bytes.toString('latin1')
      const answer = left.shift()
      if (answer) socket.write(answer)
      else socket.destroy()
    })
  }).listen(0, host)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { url: `postgres://silo:${PASSWORD}@${host}:${port}/silo`, received: () => received }
}

async function query(url: string): Promise<unknown> {
  const sql = connect(url, 1)
  try {
    return await sql`select 1`
  } finally {
    await sql.end({ timeout: 0 })
  }
}

const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address
const ON_A_NETWORK = { skip: outside === undefined && 'this machine has no address but its own' }

t.test(
  'no password is sent in clear text over a network without TLS, unless the address accepts that',
  ON_A_NETWORK,
  async (t) => {
    const { url, received } = await startServer(t, outside ?? '', [request(3), REFUSAL])
    await t.rejects(query(url), { code: 'AUTH_METHOD_REFUSED' })
    t.notOk(received().includes(PASSWORD))
    await t.rejects(query(`${url}?require_auth=password`), { code: '28P01' })
    t.ok(received().includes(PASSWORD))
  },
)

t.test('on the loopback interface a pooler may request the password in clear text', async (t) => {
  const { url, received } = await startServer(t, '127.0.0.1', [request(3), REFUSAL])
  await t.rejects(query(url), { code: '28P01' })
  t.ok(received().includes(PASSWORD))
})

t.test('a SCRAM challenge that would block the event loop, or is malformed, is refused', async (t) => {
  const challenges = [
    'r=abc,s=c2FsdA==,i=2147483647',
    'r=abc,s=c2FsdA==,i=0',
    'r=abc,s=c2FsdA==,i=x',
    'r=abc,s=c2FsdA==',
    's=c2FsdA==',
    '',
    'm=x,r=abc,s=c2FsdA==,i=4096',
    ','.repeat(100_000),
  ]
  for (const challenge of challenges) {
    const { url } = await startServer(t, '127.0.0.1', [
      request(10, 'SCRAM-SHA-256\0\0'),
      request(11, challenge),
    ])
    await t.rejects(query(url), { code: 'AUTH_METHOD_REFUSED' }, challenge.slice(0, 40))
  }
})

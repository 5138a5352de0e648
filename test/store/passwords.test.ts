import t from 'tap'
import { hashPassword, verifyPassword } from '../../store/passwords.js'
import { countScrypts, countScryptsAtOnce } from '../harness/scrypt.js'

t.test('a password is stored as scrypt, with its parameters and a salt of its own', async (t) => {
  const [one, two] = await Promise.all([hashPassword('secret'), hashPassword('secret')])
  t.match(one, /^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  t.not(one, two)
  t.notMatch(one, 'secret')
  t.equal(await verifyPassword('secret', one), true)
  t.equal(await verifyPassword('secret', two), true)
  t.equal(await verifyPassword('Secret', one), false)
  t.equal(await verifyPassword('', one), false)
})

t.test('a password is verified with the stored parameters', async (t) => {
  // RFC 7914, section 12: scrypt ("pleaseletmein", "SodiumChloride", N = 16384, r = 8, p = 1, dkLen = 64)
  const salt = Buffer.from('SodiumChloride').toString('base64').replaceAll('=', '')
  const key = Buffer.from(
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2' +
      'd5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    'hex',
  )
    .toString('base64')
    .replaceAll('=', '')
  t.equal(await verifyPassword('pleaseletmein', `$scrypt$ln=14,r=8,p=1$${salt}$${key}`), true)
  t.equal(await verifyPassword('pleaseletmein', `$scrypt$ln=13,r=8,p=1$${salt}$${key}`), false)
})

t.test('without a valid hash a verification fails after the same work', async (t) => {
  const stored = await hashPassword('secret')
  t.equal(await countScrypts(() => verifyPassword('secret', stored)), 1)
  for (const nothing of [undefined, 'none', '', '$scrypt$ln=15,r=8,p=3$$', '$argon2id$v=19$x$y']) {
    t.equal(await countScrypts(() => verifyPassword('secret', nothing)), 1)
    t.equal(await verifyPassword('', nothing), false)
  }
})

t.test(
  'two passwords are hashed at a time, some wait, and further ones are refused before any work',
  async (t) => {
    const cheap = `$scrypt$ln=4,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`
    const { most, total } = await countScryptsAtOnce(async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 100 }, () => verifyPassword('secret', cheap)),
      )
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
      t.equal(refused.length, 58)
      for (const { reason } of refused) t.match(reason, { code: 'overloaded', statusCode: 503 })
    })
    t.equal(most, 2)
    t.equal(total, 42)
    t.equal(await verifyPassword('secret', cheap), false, 'afterwards there is room again')
  },
)

import t from 'tap'
import { Representation, keepsDocument } from '../../lib/representation.js'

t.test('a representation is compressed once: each response sends the same buffer', async (t) => {
  const representation = new Representation(Buffer.from('x'.repeat(10_000)))
  for (const coding of ['br', 'gzip', 'identity'] as const) {
    const [first, second] = await Promise.all([
      representation.encoded(coding),
      representation.encoded(coding),
    ])
    t.equal(first, second)
    t.equal(first, await representation.encoded(coding))
  }
  t.equal(await representation.encoded('identity'), representation.content)
})

t.test('a document is built once for each origin of the service', async (t) => {
  let made = 0
  const documentFor = keepsDocument((origin) => ({ origin, made: ++made }))
  const first = documentFor('http://a')
  t.equal(documentFor('http://a'), first)
  t.not(documentFor('http://b').opaqueTag('br'), first.opaqueTag('br'))
  t.equal(made, 2)
})

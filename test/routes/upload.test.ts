import { Readable } from 'node:stream'
import t from 'tap'
import { within } from '../../lib/deadline.js'
import { readUpload } from '../../routes/upload.js'

/** Returns the bytes of all chunks, as text. */
async function collect(body: Readable, stallMs: number): Promise<string> {
  let text = ''
  for await (const chunk of readUpload(body, stallMs)) text += chunk.toString()
  return text
}

t.test('an upload of which no byte arrives for the timeout is refused with request_timeout', async (t) => {
  const body = new Readable({ read: () => undefined })
  body.push('a,b\n')
  await t.rejects(within(10_000, collect(body, 50)), { code: 'request_timeout', statusCode: 408 })
  t.equal(body.destroyed, false, 'the connection is left for the response')
})

t.test('an upload that makes progress may take longer than the timeout', async (t) => {
  const rows = ['a,b\n', '1,2\n', '3,4\n', '5,6\n', '7,8\n', '9,0\n']
  const sent: string[] = []
  const body = new Readable({
    read() {
      const row = rows.shift()
      if (row !== undefined) sent.push(row)
      setTimeout(() => this.push(row ?? null), 100)
    },
  })
  const began = performance.now()
  t.equal(await collect(body, 400), 'a,b\n1,2\n3,4\n5,6\n7,8\n9,0\n')
  t.ok(performance.now() - began > 400, 'it took longer than the timeout')
})

t.test('an upload that breaks off is not taken for a whole one', async (t) => {
  const body = new Readable({ read: () => undefined })
  body.push('a,b\n')
  setImmediate(() => body.destroy(new Error('aborted')))
  await t.rejects(collect(body, 5000), /aborted/)
})

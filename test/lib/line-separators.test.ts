import t from 'tap'
import { escapeSeparatorBytes, escapeSeparators } from '../../lib/line-separators.js'

/** The characters at which Python's `str.splitlines` ends a line. */
const ENDS = '\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029'

t.test('escaped JSON has no character at which a client ends a line, and the same value', async (t) => {
  const value = { [`a${ENDS}`]: `${ENDS}µ Å “quoted” \u0080\u0084\u0086\u2027\u202a 😀` }
  const json = escapeSeparators(JSON.stringify(value))
  for (const end of ENDS) t.notOk(json.includes(end), encodeURIComponent(end))
  t.strictSame(JSON.parse(json), value)
  t.equal(escapeSeparators('"\u0085\u2028\u2029"'), '"\\u0085\\u2028\\u2029"')
  const bytes = Buffer.from(JSON.stringify(value))
  t.equal(Buffer.from(escapeSeparatorBytes(bytes)).toString(), json)
  t.equal(Buffer.from(escapeSeparatorBytes(new Uint8Array(bytes))).toString(), json)
})

t.test('bytes with nothing to escape are not copied', async (t) => {
  for (const text of ['{"a":"b"}', '{"a":"µÅ”"}', '']) {
    const bytes = Buffer.from(text)
    t.equal(escapeSeparatorBytes(bytes), bytes)
  }
})

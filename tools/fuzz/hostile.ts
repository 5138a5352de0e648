import fc from 'fast-check'
import { hostileTexts } from '../conformance/checks/texts.js'
import type { Pace } from './wire.js'

/** A response header that only appears if a line break from a request got into the head of the response. */
export const INJECTED_HEADER = 'x-injected'

/**
 * Texts that break formats, databases, terminals and programs. None of them reads like a PostgreSQL error or
 * a stack trace, for which responses are searched.
 */
const TEXTS = [
  ...Object.values(hostileTexts),
  '',
  ' ',
  '\0',
  'before\0after',
  '\ud800',
  '\udfff\ud800',
  'half a pair \ud83d',
  '\u202Ereversed\u202C \u200F\u061C',
  '\u200B\u2060\uFFFD\uFFFE\uFFFF\u{10FFFF}',
  `x\r\n${INJECTED_HEADER}: 1`,
  `x\n${INJECTED_HEADER}: 1\n\n<script>alert(1)</script>`,
  '\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  "'; drop table items; --",
  "' or '1'='1",
  '" union all values (null) --',
  '$1 $$ \\x00 %s {}',
  '%',
  '%00',
  '%zz%',
  '%c0%ae%c0%ae/',
  '../../../../etc/passwd',
  '..%2f..%2fpackage.json',
  '\\\\host\\share',
  '//silo.invalid/',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'undefined',
  'null',
  'NaN',
  'true',
  '-1',
  '0',
  '1e3',
  '1.5',
  '0x10',
  '2147483648',
  '9223372036854775808',
  '9'.repeat(400),
  '*',
  '"',
  'W/"',
  '"1", *',
  ',,,',
  'earliest',
  '00000000-9',
  'deadbeef-99999999999999999999',
  'urn:uuid:00000000-0000-4000-8000-000000000000',
  'eyJzb3J0IjoicGFydF9udW1iZXIifQ',
  Buffer.from('{"sort":"created_at","at":1e308,"id":"x"}').toString('base64url'),
  Buffer.from('{"revision_number":99999999999}').toString('base64url'),
  Buffer.from('{"sort":"part_number","part_number":"\\u0000"}').toString('base64url'),
  'silo_',
  'Bearer ',
  '2016-12-31T23:59:60Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59+23:59',
]

const LONG = ['x', '🚀', '\\', '"', '\n', '\0', '%', '*', 'a,', '\u202E', "'"].map((text) =>
  text.repeat(65_536 / text.length),
)

/** Generates hostile texts. About `share` of 100 are 64 KiB long. */
export const text = (share: number): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 60, arbitrary: fc.constantFrom(...TEXTS) },
    { weight: 20, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    {
      weight: 20,
      arbitrary: fc.tuple(fc.constantFrom(...TEXTS), fc.constantFrom(...TEXTS)).map((both) => both.join('')),
    },
    { weight: share, arbitrary: fc.constantFrom(...LONG) },
  )

/** Generates hostile texts that the database can store, so that they reach the feed. */
export const storableText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...TEXTS.filter((each) => each.isWellFormed() && !each.includes('\0'))),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
)

const nested = (open: string, inner: string, close: string, depth: number): string =>
  `${open.repeat(depth)}${inner}${close.repeat(depth)}`

/** JSON values, and texts that only resemble JSON. */
const VALUES = [
  'null',
  'true',
  '-1',
  '0',
  '-0',
  '1.5',
  '1e308',
  '1e999',
  '-1e999',
  '9007199254740993',
  '9'.repeat(1000),
  '[]',
  '{}',
  '[null]',
  '[[[]]]',
  nested('[', '', ']', 31),
  nested('[', '', ']', 10_000),
  nested('{"a":', '1', '}', 32),
  nested('{"a":', '1', '}', 5000),
  `[${'0,'.repeat(50_000)}0]`,
  `{${Array.from({ length: 5000 }, (_, i) => `"k${i}":${i}`).join()}}`,
  '{"__proto__":{"admin":true}}',
  '{"a":{"__proto__":null}}',
  '{"constructor":{"prototype":{"admin":true}}}',
  '{"a":1,"a":"2"}',
  '{"\\u0000":1}',
  '{"\\ud800":"\\udfff"}',
  '{"a":"\\u0000"}',
  '{"":""}',
  '"\\u0000"',
  '"\\ud800"',
  'undefined',
  'NaN',
  "'x'",
  '"\t"',
  '01',
  '{',
  ']',
  '',
]

/** Generates hostile texts in the place of a JSON value. */
export const value: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 3, arbitrary: text(5).map((each) => JSON.stringify(each)) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 4 }).map((each) => JSON.stringify(each)) },
  { weight: 1, arbitrary: fc.constantFrom(...VALUES).map((each) => `{"a":[${each}]}`) },
)

/** Generates names of fields that a body should not have. */
export const fieldName: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'id', 'revision', 'role', 'active', ''),
  text(1),
)

/** Bodies that are malformed, wrongly encoded or too large as a whole. */
export const bodies = fc.constantFrom(
  ...['', ' ', 'null', '"x"', '[]', '0', '{', '{}', '}{', '[{}]', '{"a"', '\uFEFF{}', '{}\0', '{}{}'].map(
    (each) => ({ text: each, encoding: 'utf8' as const }),
  ),
  { text: nested('[', '', ']', 200_000), encoding: 'utf8' as const },
  { text: nested('{"a":', '1', '}', 150_000), encoding: 'utf8' as const },
  { text: '{"description":"\xff\xfe\xc0\x80"}', encoding: 'latin1' as const },
  { text: '{"description":"\xed\xa0\x80"}', encoding: 'latin1' as const },
  { text: '{"description":"x"}', encoding: 'utf16le' as const },
  { text: `{"description":"${'x'.repeat(1_500_000)}"}`, encoding: 'utf8' as const },
)

/** Generates hostile header values, one byte a character. */
export const headerValue: fc.Arbitrary<string> = text(1).map((each) => Buffer.from(each).toString('latin1'))

/** Values that stress the parser of a header, by its name. Some are slightly larger than Node accepts. */
const HEADERS: Record<string, readonly string[]> = {
  accept: [
    'text/event-stream;q=0.0001',
    'text/event-stream;q=0, */*;q=0',
    'application/json;q=1.0000',
    'application/json;a="b,c;q=0";q=0.5, text/*',
    'application/json;a="unclosed',
    ', , ,,;q=,/',
    `*/*${';q=1'.repeat(3000)}`,
    `${'a/b,'.repeat(3000)}*/*`,
    `application/json${' ;'.repeat(5000)}x`,
  ],
  'if-match': [
    `"1"${' ,'.repeat(40)} x`,
    `"1"${' ,'.repeat(7000)} x`,
    `${'"1",'.repeat(3000)}"2"`,
    `W/${'W/'.repeat(5000)}"1"`,
    `"1${'-gzip'.repeat(2500)}"`,
    '"1"-gzip;br',
    '"unclosed',
    '*, *',
  ],
  'if-none-match': [`"1"${', '.repeat(40)}x`, `${'W/"1",'.repeat(2000)}*`, '"', 'W/', '"\xe4"'],
  'last-event-id': [
    '-',
    '--',
    `${'0'.repeat(8)}-${'9'.repeat(5000)}-${'0'.repeat(8)}`,
    'a-'.repeat(6000),
    '00000000-0-00000000, 00000000-1-00000000',
    'ffffffff-9007199254740993-ffffffff',
    '\xff\xfe',
  ],
  authorization: [
    'Basic Og==',
    'Basic !!!',
    `Bearer ${'.'.repeat(10_000)}`,
    `Bearer silo_${'A'.repeat(10_000)}`,
    'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.',
    'Digest username="a", realm="',
    `${' '.repeat(5000)}Bearer x`,
    'Bearer',
    'bearer  x',
  ],
  cookie: [
    '='.repeat(10_000),
    'a=b;'.repeat(4000),
    `silo_session=${'x'.repeat(8000)}`,
    'silo_session="%',
    'silo_session=a; silo_session=b; __Host-silo_session=c',
    `${';'.repeat(5000)}${' '.repeat(5000)}`,
  ],
  'content-type': [
    'application/json; charset=utf-16',
    `application/json${'; charset=x'.repeat(1000)}`,
    `application/json${' '.repeat(10_000)};`,
    'application/json; a="',
    'multipart/form-data; boundary=',
    'application/JSON;;;',
    'text/csv; header=absent; charset=latin1',
    'application/merge-patch+json',
    '/',
  ],
  'content-encoding': [
    'gzip',
    'br',
    'identity',
    'gzip, gzip, gzip',
    'deflate;q=0',
    'gzip,'.repeat(3000),
    'x',
  ],
  'x-forwarded-for': [
    '192.0.2.1:65536',
    '[2001:db8::1]:80',
    '::ffff:192.0.2.1%eth0',
    '[',
    ','.repeat(10_000),
    '192.0.2.1, '.repeat(1000),
    'unknown',
    '_hidden',
    '999.1.1.1',
    `${'1.'.repeat(6000)}1`,
    ':'.repeat(5000),
  ],
  'x-forwarded-proto': ['https', 'https, http', 'javascript', ','.repeat(5000), 'HTTPS '],
  'x-forwarded-host': ['silo.example, evil.invalid', '[::1', 'evil.invalid:99999', 'a'.repeat(10_000)],
  forwarded: ['for="[::1]:1";proto=https', `for=${'"'.repeat(5000)}`, 'for=_x,'.repeat(1500)],
  host: [
    '',
    'evil.invalid',
    'silo.example:99999',
    'silo.example.',
    'SILO.EXAMPLE',
    'silo.example@evil.invalid',
    '[::1',
    '127.0.0.1:1',
    'a.'.repeat(5000),
  ],
  origin: [
    'null',
    'http://silo.example.evil.invalid',
    'http://u@silo.example',
    'x'.repeat(10_000),
    'http://[',
    '://',
  ],
  'sec-fetch-site': ['cross-site', 'same-origin', 'none', 'x'],
  range: [
    'bytes=0-0',
    `bytes=${'0-0,'.repeat(2500)}`,
    'bytes=-1',
    'bytes=9-1',
    'x=',
    `bytes=0-${'9'.repeat(5000)}`,
  ],
  expect: ['100-continue', '200-ok', '100-continue, 100-continue', ''],
  'transfer-encoding': [
    'chunked',
    'chunked, chunked',
    'gzip, chunked',
    'xchunked',
    'identity',
    ' chunked',
    'chunked;x',
  ],
  'content-length': ['-1', '+5', '0x10', '1e3', '5, 5', '5, 6', '18446744073709551617', ' 1', '1 1'],
  connection: ['close, keep-alive', 'upgrade', 'content-length', 'close,'.repeat(1500), 'x'],
  upgrade: ['h2c', 'websocket', ','.repeat(5000)],
  te: ['trailers', 'chunked;q=x'],
  'accept-encoding': ['identity;q=0', 'gzip;q=0, *;q=0', 'gzip,'.repeat(3000)],
  'accept-language': ['de,'.repeat(5000)],
  'x-http-method-override': ['DELETE'],
  'idempotency-key': ['', 'x'.repeat(10_000), '"\x80"'],
}

/** Generates a header with a value that stresses its own parser, or any hostile one, one byte a character. */
export const header: fc.Arbitrary<[string, string]> = fc
  .constantFrom(...Object.entries(HEADERS))
  .chain(([name, values]) =>
    fc
      .oneof(
        { weight: 4, arbitrary: fc.constantFrom(...values) },
        { weight: 1, arbitrary: headerValue },
        // The same value twice, as a list.
        {
          weight: 1,
          arbitrary: fc.constantFrom(...values).map((value) => `${value},${value}`.slice(0, 16_000)),
        },
      )
      .map((value): [string, string] => [name, value]),
  )

/** Generates ways to send a body other than at once. An endless one is rare: it lasts until a timeout. */
export const pace: fc.Arbitrary<Pace> = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom<Pace>('held', 'bytes', 'abandoned', 'shorter', 'longer') },
  { weight: 1, arbitrary: fc.constant<Pace>('endless') },
)

/** Generates unusual and invalid methods. */
export const method = fc.constantFrom('HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'get', 'G ET', 'X', '')

/** Generates unusual and invalid request targets. */
export const target = fc.constantFrom(
  '*',
  '/',
  '//',
  '/.',
  '/..',
  '/%',
  '/%00',
  '/api//items',
  '/API/ITEMS',
  '/api/items/',
  '/api/items/a/',
  '/api/items/%2e%2e/users',
  '/api/items/a%2fb',
  '/api/items/a/revisions/1/2',
  '/web/..%2fserver.ts',
  '/web/%5c..%5cpackage.json',
  '/?',
  '/#',
  '/health;a=b',
  '/health?__proto__[x]=1&constructor=2&a[b][c]=3',
  'http://silo.invalid/health',
  'health',
  '/a b',
  '/\xff',
  '/api/events?since=%',
  `/${'a'.repeat(10_000)}`,
  `/${'a'.repeat(70_000)}`,
  `/health?${'a&'.repeat(5000)}`,
)

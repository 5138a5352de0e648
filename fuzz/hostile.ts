import fc from 'fast-check'
import { hostileTexts } from '../conformance/checks/texts.js'

/** A header that no answer has, unless a line break of ours got out of where it was put. */
export const INJECTED_HEADER = 'x-injected'

/** What breaks formats, databases, terminals and programmers. None of it reads like an error of PostgreSQL or a stack. */
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

/** A text that somebody chose to do harm; `share` of 100 are 64 KiB long. */
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

/** The same, as far as a database can hold it: what gets through to the feed. */
export const storableText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...TEXTS.filter((each) => each.isWellFormed() && !each.includes('\0'))),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
)

const nested = (open: string, inner: string, close: string, depth: number): string =>
  `${open.repeat(depth)}${inner}${close.repeat(depth)}`

/** JSON, and what only looks like it, in the place of a value. */
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

export const value: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 3, arbitrary: text(5).map((each) => JSON.stringify(each)) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 4 }).map((each) => JSON.stringify(each)) },
  { weight: 1, arbitrary: fc.constantFrom(...VALUES).map((each) => `{"a":[${each}]}`) },
)

export const fieldName: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'id', 'revision', 'role', 'active', ''),
  text(1),
)

/** What can't even be sent as a body of text. */
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

/** What stands where a header's value should. As bytes, one a character. */
export const headerValue: fc.Arbitrary<string> = text(1).map((each) => Buffer.from(each).toString('latin1'))

export const headerName = fc.constantFrom(
  'accept',
  'accept-encoding',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'if-match',
  'if-none-match',
  'last-event-id',
  'origin',
  'range',
  'sec-fetch-site',
  'te',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-http-method-override',
)

export const method = fc.constantFrom('HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'get', 'G ET', 'X', '')

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

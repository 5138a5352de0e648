import t from 'tap'
import { preferredCoding, preferredType } from '../../lib/accept.js'

const preferred = (accept: string | undefined) => preferredType(accept, ['application/json', 'text/csv'])

t.test('Accept is parsed with parameters and quality values, as RFC 9110 defines it', async (t) => {
  const cases: [accept: string | undefined, type: string][] = [
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['text/*', 'text/csv'],
    ['text/csv', 'text/csv'],
    ['TEXT/CSV', 'text/csv'],
    ['text/csv; charset=utf-8', 'text/csv'],
    ['text/csv;charset="utf-8"', 'text/csv'],
    ['text/csv;header=present; q=0.9, application/json;q=0.8', 'text/csv'],
    ['text/csv;q=0.5, application/json;q=0.4', 'text/csv'],
    ['text/csv;q=0.4, application/json;q=0.5', 'application/json'],
    ['text/csv; Q=1.000 , */*', 'text/csv'],
    ['text/csv, application/json', 'text/csv'],
    ['application/json, text/csv', 'application/json'],
    ['*/*, text/csv', 'text/csv'],
    ['text/*;q=0.3, text/csv;q=0.7, */*;q=0.5', 'text/csv'],
    ['text/*;q=0.9, text/csv;q=0.1, */*;q=0.5', 'application/json'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'application/json'],
    ['x/y;a="b,text/csv;q=1", text/csv;q=0.1', 'text/csv'],
    ['x/y;a="\\",text/csv", application/json', 'application/json'],
  ]
  for (const [accept, type] of cases) t.equal(preferred(accept), type, accept ?? 'none')
})

t.test('an excluded type is not chosen while another one is offered', async (t) => {
  t.equal(preferred('application/json;q=0, */*'), 'text/csv')
  t.equal(preferred('application/json;q=0'), 'text/csv')
  t.equal(preferred('text/csv;q=0.0'), 'application/json')
  t.equal(preferred('*/*;q=0'), 'application/json', 'no other type is left')
  t.equal(preferred('application/json;q=0, text/csv;q=0'), 'application/json')
})

t.test('an Accept that matches nothing, or none, gets the first type that is offered', async (t) => {
  for (const accept of [
    'image/png',
    'text',
    '/',
    '*/csv',
    'text/csv/x',
    'text/csv;q=2',
    'text/csv;q=x',
    ',,;',
    '"',
  ]) {
    t.equal(preferred(accept), 'application/json', accept)
  }
})

t.test('a hostile Accept is parsed in linear time', async (t) => {
  const began = performance.now()
  for (const part of ['*/*,', ';', '"', '\\', 'text/csv;q=0.0000', 'a/b;"', ' ', '/', '=;']) {
    preferred(part.repeat(100_000 / part.length))
  }
  t.ok(performance.now() - began < 5000)
})

t.test('a content coding is chosen by quality, then in the order of the offers', async (t) => {
  const cases: [string | undefined, string][] = [
    [undefined, 'identity'],
    ['', 'identity'],
    ['gzip', 'gzip'],
    ['gzip, deflate, br', 'br'],
    ['GZIP;q=1.0, br;q=0.5', 'gzip'],
    ['br;q=0, gzip', 'gzip'],
    ['*', 'br'],
    ['*;q=0.5, br;q=0', 'gzip'],
    ['identity, gzip;q=0.5', 'identity'],
    ['identity;q=0', 'identity'],
    ['deflate, zstd', 'identity'],
    ['gzip;q=x', 'identity'],
    ['gzip;level=9', 'identity'],
    [' br ; q=0.1 ,', 'br'],
  ]
  for (const [header, coding] of cases)
    t.equal(preferredCoding(header, ['br', 'gzip']), coding, String(header))
})

import t from 'tap'
import { isHeld, isTagList, namedTags, tagOf } from '../../lib/entity-tags.js'

t.test('a list of entity tags is parsed as RFC 9110 defines it', async (t) => {
  const lists: [list: string, tags: string[] | undefined][] = [
    ['"1"', ['1']],
    ['W/"1"', ['1']],
    ['"1", "2"', ['1', '2']],
    ['"1","1" ,\t"2",', ['1', '2']],
    [' , ,"1"', ['1']],
    ['"a,b", "c d"', undefined],
    ['"a,b", W/"*"', ['a,b', '*']],
    ['""', ['']],
    ['"\xe9\xff"', ['\xe9\xff']],
    ['*', undefined],
    [' * ', undefined],
  ]
  for (const [list, tags] of lists) {
    t.equal(isTagList(list), list !== '"a,b", "c d"', list)
    if (isTagList(list)) t.strictSame(namedTags(list), tags, list)
  }
})

t.test('a malformed list of entity tags names no tag', async (t) => {
  const malformed = [
    '',
    ' ',
    ',',
    '1',
    '"1',
    '1"',
    '"1" "2"',
    '"1""2"',
    '*, "1"',
    '"1", *',
    'w/"1"',
    'W /"1"',
    'W/1',
  ]
  for (const list of [...malformed, '"a\tb"', '"a\x7f"', '"\u0142"', '"1"x', '"1"-', '"1"-x', '"1";q=1']) {
    t.notOk(isTagList(list), list)
    t.strictSame(namedTags(list), [], list)
    t.notOk(isHeld(list, '"1"'), list)
  }
})

t.test('a tag is recognized in every form that an intermediary gives it', async (t) => {
  const marks = [
    '-gzip',
    '--gzip',
    ';gzip',
    ':gzip',
    '+gzip',
    '-GZIP',
    '-x-gzip',
    '-br',
    '-zstd',
    '-df',
    '-deflate',
  ]
  for (const mark of marks) {
    for (const tag of [`"1${mark}"`, `W/"1${mark}"`, `"1"${mark}`, `W/"1"${mark}`, `"0", "1${mark}-br"`]) {
      t.ok(isTagList(tag), tag)
      t.ok(namedTags(tag)?.includes('1'), tag)
      t.ok(isHeld(tag, tagOf(1)), tag)
      t.notOk(isHeld(tag, tagOf(11)), tag)
    }
  }
})

t.test('a tag that only looks marked by an intermediary matches itself and no other', async (t) => {
  t.ok(isHeld('"x-gz"', '"x-gz"'))
  t.ok(isHeld('"x-gz-gzip"', '"x-gz"'))
  t.notOk(isHeld('"x"', '"x-gz"'))
  t.notOk(isHeld('"1gzip"', '"1"'), 'without a separator')
  t.notOk(isHeld('"1-gzipped"', '"1"'))
  t.notOk(isHeld('"1-2"', '"1"'))
  t.notOk(isHeld(undefined, '"1"'))
  t.ok(isHeld('*', '"1"'))
  t.equal(namedTags(undefined), undefined)
})

t.test('a hostile list is parsed in linear time', async (t) => {
  const length = 100_000
  const lists = [', ', '"1", ', '"1" ', 'W/', '"', '"-gzip', '"1"-gzip-br,', '\t', '"1"-'].map((part) =>
    part.repeat(length / part.length),
  )
  lists.push(
    `"1", ${', '.repeat(length / 2)}x`,
    `"${'-gz'.repeat(length / 3)}"`,
    `"1"${'-gz'.repeat(length / 3)}`,
  )
  const began = performance.now()
  for (const list of lists) namedTags(list)
  t.ok(performance.now() - began < 5000, 'more than a megabyte of lists')
})

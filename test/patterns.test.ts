import t from 'tap'
import {
  type Pattern,
  findBacktracking,
  patternsOfPage,
  patternsOfProgram,
  patternsOfSchema,
  readSources,
} from './harness/patterns.js'

/** The folders that are shipped. Tools that are started by hand on their own input are not checked. */
const FOLDERS = [
  'cli',
  'embedded',
  'feed',
  'lib',
  'plugins',
  'routes',
  'schemas',
  'store',
  'tools/conformance',
  'tools/demo',
  'web',
]

t.test('a pattern that backtracks is found wherever it is written', async (t) => {
  const at = (path: string, text: string) => ({ path, text })
  const evil: Pattern[] = [
    ...patternsOfProgram(
      at('a.ts', String.raw`const list = /^(?:"[!#-~]*"(?:[ \t]*,[ \t]*(?:"[!#-~]*")?)*)$/`),
    ),
    ...patternsOfProgram(at('b.js', 'text.replace(/\\s+$/, "")')),
    ...patternsOfProgram(at('c.ts', "new RegExp('^(a|a)*$')")),
    ...patternsOfProgram(at('d.ts', "Type.String({ pattern: '(a*)*b' })")),
    ...patternsOfPage(at('e.html', '<input pattern="(a+)+">')),
    ...patternsOfSchema({ properties: { a: { pattern: '^(\\w+\\s?)*$' } } }, 'f'),
    ...patternsOfSchema({ patternProperties: { '^([a-z]+)*$': {} } }, 'g'),
  ]
  const faults = await findBacktracking(evil)
  t.equal(faults.length, 7, faults.join('\n'))
  t.strictSame(await findBacktracking(patternsOfProgram(at('h.ts', 'const word = /^[a-z]+$/'))), [])
  t.throws(() => patternsOfProgram(at('i.ts', 'new RegExp(word)')), { message: /i\.ts:1 .*at run time/ })
})

t.test('no pattern of the service, its schemas, the command and the pages backtracks', async (t) => {
  const programs = [
    ...readSources('.', ['.ts'], false),
    ...FOLDERS.flatMap((folder) => readSources(folder, ['.ts', '.js'])),
  ]
  const modules = readSources('schemas', ['.ts'])
  const schemas = await Promise.all(
    modules.map(async ({ path }) => patternsOfSchema(await import(`../${path.replace(/ts$/, 'js')}`), path)),
  )
  const patterns = [
    ...programs.flatMap(patternsOfProgram),
    ...readSources('web', ['.html']).flatMap(patternsOfPage),
    ...schemas.flat(),
  ]
  t.ok(patterns.length > 80, `${patterns.length} are checked`)
  t.strictSame(await findBacktracking(patterns), [])
})

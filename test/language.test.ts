import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findBannedWords } from './harness/words.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

/** Folders with third-party or generated files. */
const SKIPPED = new Set(['node_modules', 'dist', 'results'])

/** Correct uses of words that the glossary of CONTRIBUTING.md replaces. */
const RIGHT_USES: readonly { path: string; phrase: string }[] = [
  { path: 'docs/asvs.md', phrase: 'no secret questions' },
  { path: 'docs/security.md', phrase: 'looks like a formula' },
  { path: 'docs/security.md', phrase: 'gave to the user nobody' },
]

const TEXTS = /\.(?:ts|js|sql|css|md)$/
const CODE = /\.(?:ts|js|sql|css|html|py|sh|yml|c|lua)$/

/** Returns the paths of the files whose names match, relative to the root. */
async function listFiles(names: RegExp, folder = ''): Promise<string[]> {
  const paths: string[] = []
  for (const entry of await readdir(join(ROOT, folder), { withFileTypes: true })) {
    if (entry.name.startsWith('.') || SKIPPED.has(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) paths.push(...(await listFiles(names, path)))
    else if (names.test(path)) paths.push(path)
  }
  return paths
}

t.test('the words of the glossary are found in comments and documents, and nowhere else', (t) => {
  const program = ['/** Asks the', ' * database. */', "const ask = 'ask' // asked once, see `ask`"].join('\n')
  t.strictSame(
    findBannedWords('a.ts', program).map(({ line, word }) => [line, word]),
    [
      [1, 'Asks'],
      [3, 'asked'],
    ],
  )
  t.strictSame(
    findBannedWords('a.sql', "select 'told' -- told\n").map(({ word }) => word),
    ['told'],
  )
  t.strictSame(
    findBannedWords('a.css', '.ask { color: red }\n/* what is\n * told */\n.b {}').map(({ line, word }) => [
      line,
      word,
    ]),
    [[3, 'told']],
  )
  const document = ['`ask` whoever', '```sh', 'ask', '```', 'anew'].join('\n')
  t.strictSame(
    findBannedWords('a.md', document).map(({ line, word }) => [line, word]),
    [
      [1, 'whoever'],
      [5, 'anew'],
    ],
  )
  t.strictSame(findBannedWords('a.png', 'ask'), [])
  t.end()
})

t.test('comments and documents use the words of the glossary', async (t) => {
  const paths = await listFiles(TEXTS)
  t.ok(paths.length > 400, `${paths.length} files are read`)
  const findings: string[] = []
  let unused = [...RIGHT_USES]
  for (const path of paths) {
    for (const { line, word, text } of findBannedWords(path, await readFile(join(ROOT, path), 'utf8'))) {
      const right = RIGHT_USES.find((use) => use.path === path && text.includes(use.phrase))
      unused = unused.filter((use) => use !== right)
      if (!right) findings.push(`${path}:${line}: ${word}: ${text}`)
    }
  }
  t.strictSame(findings, [])
  t.strictSame(unused, [], 'every exception is used')
})

t.test('no line of code is longer than the print width', async (t) => {
  const { printWidth } = JSON.parse(await readFile(join(ROOT, '.prettierrc.json'), 'utf8')) as {
    printWidth: number
  }
  const findings: string[] = []
  for (const path of await listFiles(CODE)) {
    const lines = (await readFile(join(ROOT, path), 'utf8')).split('\n')
    findings.push(...lines.flatMap((line, i) => (line.length > printWidth ? [`${path}:${i + 1}`] : [])))
  }
  t.strictSame(findings, [])
})

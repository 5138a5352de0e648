import { readFile } from 'node:fs/promises'
import t from 'tap'

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.resolve('#root')), 'utf8')

/** Returns the titles of a file's tests, as they are written there. */
async function titlesOf(file: string): Promise<string[]> {
  const found = (await read(file)).matchAll(/\bt\.test\(\s*(?:'([^'\n]+)'|"([^"\n]+)")/g)
  return [...found].map(([, single, double]) => single ?? double ?? '')
}

t.test('every test that docs/security.md names exists', async (t) => {
  const document = await read('docs/security.md')
  const named = [...document.matchAll(/`(test\/[\w./-]+\.test\.ts)`: "([^"]+)"/g)]
  t.ok(named.length > 30)
  t.equal(named.length, [...document.matchAll(/test\.ts/g)].length, 'each file is named with a title')
  for (const [, file = '', title = ''] of named) {
    t.ok((await titlesOf(file)).includes(title), `${file}: ${title}`)
  }
})

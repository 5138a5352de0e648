/** Runs after the last test file: fails the run when a test ended without an assertion, and stops the server. */
import { existsSync } from 'node:fs'
import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findEmptyTests } from './empty-tests.js'
import { noteOf, readNote } from './server-url.js'
import { waitFor } from './wait-for.js'

const RESULTS = fileURLToPath(new URL('.tap/test-results', import.meta.resolve('#root')))

/** The empty tests of the files whose results were written after `since`: those of earlier runs stay in the folder. */
async function readEmptyTests(since: number): Promise<string[]> {
  const empty: string[] = []
  for (const entry of await readdir(RESULTS, { recursive: true })) {
    const path = join(RESULTS, entry)
    const { mtimeMs } = await stat(path)
    if (!entry.endsWith('.test.ts.tap') || mtimeMs < since) continue
    const titles = findEmptyTests(await readFile(path, 'utf8'))
    empty.push(...titles.map((title) => `${entry}: ${title}`))
  }
  return empty
}

const note = noteOf(process.ppid)
if (existsSync(note)) {
  const { mtimeMs } = await stat(note)
  t.strictSame(await readEmptyTests(mtimeMs), [], 'every test that passed has asserted something')
  process.kill(readNote().keeper, 'SIGTERM')
  await waitFor('the server to be gone', () => !existsSync(note))
}
t.pass('the server is gone')

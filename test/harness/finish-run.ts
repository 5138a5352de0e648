/**
 * Runs after the last test file: lists the failed tests, fails the run when a test ended without an
 * assertion, and stops the server.
 */
import { existsSync } from 'node:fs'
import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findEmptyTests, findFailedTests } from './results.js'
import { noteOf, readNote } from './server-url.js'
import { eventually } from '../../tools/harness/eventually.js'

const RESULTS = fileURLToPath(new URL('.tap/test-results', import.meta.resolve('#root')))

/**
 * Runs `find` on the result files that were written after `since`, and prefixes what it returns with the
 * file. Results of earlier runs stay in the folder.
 */
async function findInResults(since: number, find: (tap: string) => string[]): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(RESULTS, { recursive: true })) {
    const path = join(RESULTS, entry)
    const { mtimeMs } = await stat(path)
    if (!entry.endsWith('.test.js.tap') || mtimeMs < since) continue
    const titles = find(await readFile(path, 'utf8'))
    found.push(...titles.map((title) => `${entry}: ${title}`))
  }
  return found
}

const note = noteOf(process.ppid)
if (existsSync(note)) {
  const { mtimeMs } = await stat(note)
  for (const failed of await findInResults(mtimeMs, findFailedTests)) t.comment(`failed: ${failed}`)
  t.strictSame(
    await findInResults(mtimeMs, findEmptyTests),
    [],
    'every test that passed has asserted something',
  )
  process.kill(readNote().keeper, 'SIGTERM')
  await eventually('the server to be gone', () => !existsSync(note))
}
t.pass('the server is gone')

/**
 * Runs all test files, or those whose path contains an argument: `npm test -- feed/ web/items`. Starts a
 * PostgreSQL that they share, unless TEST_DATABASE_URL names one.
 *
 * The command `tap` would load hooks into each process, also into those that a test starts, which
 * makes a run longer (docs/decisions/0040).
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pLimit from 'p-limit'
import { startPostgres } from '../../tools/harness/postgres.js'
import { Scope } from '../../tools/harness/scope.js'
import { createTemplate } from './database.js'
import { findEmptyTests, findFailedTests, findSkippedTests, isComplete } from './results.js'

const TESTS = fileURLToPath(new URL('..', import.meta.url))
const JOBS = 4
/** After this time tap fails the test that runs in the file. */
const FILE_TIMEOUT_MS = 300_000
/** After this time the file's process is killed. */
const KILL_MS = FILE_TIMEOUT_MS + 30_000
const RUN_LIMIT_MS = 3_600_000
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** The data is needed only during the run, so it need not survive a crash of the machine. */
const SETTINGS = { max_connections: '300', fsync: 'off', full_page_writes: 'off' }

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())

interface Result {
  seconds: number
  /** The output of the file: TAP, and what was written to stderr. */
  output: string
  /** Why the file has failed; empty if it has passed. */
  failures: string[]
}

function runFile(file: string): Promise<Result> {
  const begin = performance.now()
  const options = {
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(FILE_TIMEOUT_MS / 1000) },
    maxBuffer: MAX_OUTPUT_BYTES,
    timeout: KILL_MS,
    killSignal: 'SIGKILL' as const,
    signal: stop.signal,
  }
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--enable-source-maps', join(TESTS, file)],
      options,
      (error, stdout, stderr) => {
        const failures = [
          ...findFailedTests(stdout),
          ...findEmptyTests(stdout).map((title) => `${title}: nothing was asserted`),
        ]
        if (failures.length === 0 && error) failures.push(error.message)
        if (failures.length === 0 && !isComplete(stdout)) failures.push('no test has run')
        resolve({ seconds: (performance.now() - begin) / 1000, output: stdout + stderr, failures })
      },
    )
  })
}

/** Runs the files, prints the result of each as TAP, and returns whether all have passed. */
async function runFiles(files: readonly string[]): Promise<boolean> {
  const failures: string[] = []
  const limit = pLimit(JOBS)
  let ended = 0
  await limit.map(files, async (name) => {
    if (stop.signal.aborted) return
    const result = await runFile(name)
    const outcome = result.failures.length === 0 ? 'ok' : 'not ok'
    if (outcome === 'not ok') console.log(result.output.replace(/^/gm, '    '))
    console.log(`${outcome} ${++ended} - ${name} # time=${result.seconds.toFixed(1)}s`)
    for (const skipped of findSkippedTests(result.output)) console.log(`# skipped: ${skipped}`)
    failures.push(...result.failures.map((failure) => `${name}: ${failure}`))
  })
  console.log(`1..${files.length}`)
  for (const failure of failures) console.log(`# failed: ${failure}`)
  return failures.length === 0 && ended === files.length
}

/** Runs `work` while TEST_DATABASE_URL names a PostgreSQL server. */
async function withServer(work: () => Promise<boolean>): Promise<boolean> {
  if (process.env.TEST_DATABASE_URL !== undefined) return work()
  const run = new Scope({ quick: false, profiles: undefined }, stop.signal)
  return run.within(RUN_LIMIT_MS, async (scope) => {
    const { superuserUrl } = await startPostgres(scope, SETTINGS)
    process.env.TEST_DATABASE_URL = superuserUrl
    return work()
  })
}

const wanted = process.argv.slice(2)
const found = await readdir(TESTS, { recursive: true })
const files = found
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
if (files.length === 0) throw new Error(`no test file matches ${wanted.join(' ')}`)

const begin = performance.now()
console.log('TAP version 14')
const passed = await withServer(async () => {
  await createTemplate()
  return runFiles(files)
})
console.log(`# ${files.length} files in ${((performance.now() - begin) / 1000).toFixed(0)} s`)
process.exit(passed ? 0 : 1)

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Report, runFuzz } from './run.js'
import type { Request } from './wire.js'

const USAGE = "usage: npm run fuzz -- [--cases 2000] [--seed N] [--only 'GET /api/items'] [--request FILE]"

/** Maximum length of a printed counterexample, in characters. */
const LONGEST = 4000

/** Writes a request to a file, for `--request`, which sends only this request. Returns the path. */
function keep(request: Request): string {
  const file = join(mkdtempSync(join(tmpdir(), 'silo-fuzz-')), 'request.json')
  writeFileSync(file, JSON.stringify(request))
  return file
}

const show = (request: Request): string => {
  const text = JSON.stringify(request)
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text
}

/** Prints the report as text. */
function print(report: Report): void {
  const { findings, problems, byOperation, byStatus } = report
  const table = Object.entries({
    seed: report.seed,
    seconds: Math.round(report.seconds),
    cases: report.cases,
    ...Object.fromEntries(
      Object.entries(byOperation).map(([name, { cases, accepted }]) => [
        `  ${name}`,
        `${cases}, ${accepted} accepted`,
      ]),
    ),
    responses: Object.values(byStatus).reduce((sum, count) => sum + count, 0),
    ...Object.fromEntries(Object.entries(byStatus).map(([name, count]) => [`  ${name}`, count])),
    'writes acknowledged': report.acknowledged,
    'events on the feed': report.events,
    'bytes on the feed': report.feedBytes,
    'longest pause of the event loop beyond the bound': `${report.longestPauseMs} ms`,
    'resident memory after collection, at most': `${Math.round(report.peakRss / 1024 / 1024)} MiB`,
    findings: findings.length + problems.length,
  })
  for (const [name, value] of table) console.log(`${name.padEnd(60)} ${value}`)
  for (const { operation, what, seed, shrinks, counterexample } of findings) {
    console.log(
      `\nFOUND with ${operation} (its seed ${seed}, shrunk ${shrinks} times)\n${what}\n` +
        (counterexample
          ? `${show(counterexample)}\nAlone: npm run fuzz -- --request ${keep(counterexample)}`
          : 'without a request'),
    )
  }
  for (const problem of problems.slice(0, 20)) console.log(`\nFOUND ${problem}`)
  if (problems.length > 20) console.log(`and ${problems.length - 20} more`)
}

const { values } = parseArgs({
  options: {
    cases: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    request: { type: 'string' },
  },
})
const cases = Number(values.cases ?? 2000)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 30))
if (!(cases > 0) || !Number.isInteger(cases) || !Number.isInteger(seed)) {
  console.error(USAGE)
  process.exit(2)
}
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
console.log(`seed ${seed}`)
const request =
  values.request === undefined ? undefined : (JSON.parse(readFileSync(values.request, 'utf8')) as Request)
const report = await runFuzz({ cases, seed, only: values.only, request, interrupted: stop.signal })
print(report)
process.exitCode = report.findings.length + report.problems.length > 0 ? 1 : 0

import { parseArgs } from 'node:util'
import { type Report, runFuzz } from './run.js'

const USAGE = "usage: npm run fuzz -- [--cases 2000] [--seed N] [--only 'GET /api/items']"

/** The report as a person reads it. */
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
    answers: Object.values(byStatus).reduce((sum, count) => sum + count, 0),
    ...Object.fromEntries(Object.entries(byStatus).map(([name, count]) => [`  ${name}`, count])),
    'writes acknowledged': report.acknowledged,
    'events on the feed': report.events,
    'bytes on the feed': report.feedBytes,
    findings: findings.length + problems.length,
  })
  for (const [name, value] of table) console.log(`${name.padEnd(60)} ${value}`)
  for (const { operation, what, seed, shrinks, counterexample } of findings) {
    console.log(
      `\nFOUND with ${operation} (its seed ${seed}, shrunk ${shrinks} times)\n${what}\n${counterexample}`,
    )
  }
  for (const problem of problems.slice(0, 20)) console.log(`\nFOUND ${problem}`)
  if (problems.length > 20) console.log(`and ${problems.length - 20} more`)
}

const { values } = parseArgs({
  options: { cases: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
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
const report = await runFuzz({ cases, seed, only: values.only, interrupted: stop.signal })
print(report)
process.exitCode = report.findings.length + report.problems.length > 0 ? 1 : 0

import { parseArgs } from 'node:util'
import { type Report, runChaos } from './run.js'

const USAGE = `usage: npm run chaos -- [--seconds 60] [--seed N] [--quiet]
         [--faults 'backup restored,…'] [--clients eventsource,…]`

const WIDTH = 40

/** Prints the report as text. */
export function print(report: Report): void {
  const { problems, faults, writes, kinds } = report
  const table = Object.entries({
    seed: report.seed,
    seconds: report.seconds,
    'nginx in front': report.withNginx ? 'yes' : 'no',
    'writes acknowledged': writes.acknowledged,
    'writes refused': writes.refused,
    'writes of unknown outcome': writes.unknown,
    events: report.events,
    deliveries: report.deliveries,
    'resets, all necessary': report.resets,
    'promotions without a reset': report.wholePromotions,
    'longest silence of a plain subscriber': `${report.longestSilenceMs} ms`,
    lost: report.lost,
    repeated: report.repeated,
    'out of order': report.outOfOrder,
  })
  for (const [name, value] of table) console.log(`${name.padEnd(WIDTH)} ${value}`)
  console.log(`\n${'fault'.padEnd(WIDTH)} times, longest`)
  for (const [name, { times, longestMs }] of Object.entries(faults)) {
    console.log(`${name.padEnd(WIDTH)} ${times}, ${longestMs} ms`)
  }
  console.log(
    `\n${'clients of a kind'.padEnd(WIDTH)} number: deliveries, resets, lost, repeated, out of order`,
  )
  for (const [kind, { clients, deliveries, resets, lost, repeated, outOfOrder }] of Object.entries(kinds)) {
    const figures = [deliveries, resets, lost, repeated, outOfOrder].join(', ')
    console.log(`${kind.padEnd(WIDTH)} ${clients}: ${figures}`)
  }
  for (const problem of problems.slice(0, 50)) console.log(`PROBLEM ${problem}`)
  if (problems.length > 50) console.log(`and ${problems.length - 50} more`)
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    seed: { type: 'string' },
    quiet: { type: 'boolean' },
    faults: { type: 'string' },
    clients: { type: 'string' },
  },
})
const listOf = (text: string) => text.split(',').filter((name) => name !== '')
const seconds = Number(values.seconds ?? 60)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
if (!(seconds > 0) || !Number.isInteger(seed)) {
  console.error(USAGE)
  process.exit(2)
}
console.log(`seed ${seed}`)
const report = await runChaos({
  seed,
  seconds,
  ...(values.faults !== undefined && { faults: listOf(values.faults) }),
  ...(values.clients !== undefined && { clients: listOf(values.clients) }),
  ...(!values.quiet && { log: (line) => console.log(line) }),
})
print(report)
// Without this, Node 20 sometimes loops forever while it closes the handles of a process that has ended.
process.exit(report.problems.length > 0 ? 1 : 0)

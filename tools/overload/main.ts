import { inspect, parseArgs } from 'node:util'
import { Scope } from '../harness/scope.js'
import comeback from './comeback.js'
import { type Experiment, Findings } from './findings.js'
import limits from './limits.js'
import outage from './outage.js'
import unread from './unread.js'

const EXPERIMENTS: Record<string, Experiment> = { limits, outage, unread, comeback }

const USAGE = `usage: npm run overload -- [--quick] [experiment …]

experiments: ${Object.keys(EXPERIMENTS).join(' ')}`

/** Timeout of one experiment, in ms. */
const LIMIT_MS = 900_000

function readArguments() {
  const options = { quick: { type: 'boolean', default: false } } as const
  const { values, positionals } = parseArgs({ allowPositionals: true, options })
  const unknown = positionals.find((name) => !(name in EXPERIMENTS))
  if (unknown !== undefined) throw new Error(`unknown experiment: ${unknown}`)
  return { quick: values.quick, names: positionals.length > 0 ? positionals : Object.keys(EXPERIMENTS) }
}

async function run(name: string, experiment: Experiment, scope: Scope): Promise<boolean> {
  const findings = new Findings()
  try {
    await scope.within(LIMIT_MS, (inner) => experiment(inner, findings))
  } catch (err) {
    findings.broken.push(inspect(err))
  }
  console.log(`\n${name}`)
  for (const [figure, value] of findings.figures) console.log(`  ${figure.padEnd(70)} ${value}`)
  for (const sentence of findings.broken) console.log(`  BROKEN ${sentence}`)
  return findings.broken.length === 0
}

async function main(): Promise<void> {
  const { quick, names } = readArguments()
  const scope = new Scope({ quick, profiles: undefined })
  for (const name of names) {
    const experiment = EXPERIMENTS[name]
    if (experiment && !(await run(name, experiment, scope))) process.exitCode = 1
  }
}

main().catch((err: unknown) => {
  console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`)
  process.exitCode = 2
})

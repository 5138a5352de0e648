/**
 * Shows that the chaos run finds faults: the service is made wrong in ways that have cost others events, and the checker must
 * report each. The poll that hides a lost notification for at most a second is off in all of them, the control included.
 */
import { parseArgs } from 'node:util'
import { runChaos } from '../run.js'
import { POLL_OFF, REPORTED, type Mutant, preloadOf } from './mutants.js'

const USAGE = 'usage: npm run chaos:mutants -- [--seconds 25] [--seed 7]'
/** A short run may miss a fault by chance, so a mutant has this many runs to be reported in. */
const RUNS = 3
/** How long a run waits for subscribers that lost an event for good, in ms. */
const SETTLE_MS = 10_000

function readArguments(): { seconds: number; seed: number } {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
  const seconds = Number(values.seconds ?? 25)
  const seed = Number(values.seed ?? 7)
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('--seconds and --seed are numbers')
  return { seconds, seed }
}

async function findProblems(mutants: readonly Mutant[], seed: number, seconds: number): Promise<string[]> {
  const { problems } = await runChaos({
    seed,
    seconds,
    settleMs: SETTLE_MS,
    preload: preloadOf(mutants),
    sabotage: async (sql) => {
      for (const { sabotage } of mutants) await sabotage?.(sql)
    },
  })
  return problems
}

async function isReported(mutant: Mutant, seed: number, seconds: number): Promise<boolean> {
  for (let run = 0; run < RUNS; run++) {
    const problems = await findProblems([POLL_OFF, mutant], seed + run, seconds)
    if (problems.length === 0) continue
    console.log(`${mutant.name}: reported in run ${run + 1} (${mutant.fault})`)
    for (const problem of problems.slice(0, 3)) console.log(`    ${problem}`)
    return true
  }
  console.log(`${mutant.name}: NOT REPORTED in ${RUNS} runs (${mutant.fault})`)
  return false
}

async function main(): Promise<void> {
  const { seed, seconds } = readArguments()
  const control = await findProblems([POLL_OFF], seed, seconds)
  console.log(`control, only the poll is off: ${control.length === 0 ? 'no problem' : control.join('; ')}`)
  if (control.length > 0) process.exitCode = 1
  for (const mutant of REPORTED) if (!(await isReported(mutant, seed, seconds))) process.exitCode = 1
}

main().catch((err: unknown) => {
  console.error(err, `\n\n${USAGE}`)
  process.exitCode = 2
})

/**
 * Shows that the chaos run finds faults: the service is made faulty in ways that have lost events in other
 * services, and the checker must report each of them. All runs, the control included, are without the poll of
 * the log, which would make up for a lost notification within a second.
 */
import { parseArgs } from 'node:util'
import pLimit from 'p-limit'
import { type Options, runChaos } from '../run.js'
import { POLL_OFF, REPORTED, type Mutant, preloadOf } from './mutants.js'

const USAGE = 'usage: npm run chaos:mutants -- [--seconds 25] [--seed 7] [--only NAME]'
/** Maximum number of runs of a mutant until it is reported: a short run may miss a fault by chance. */
const RUNS = 5
/** Concurrent runs: most of a run is waiting. */
const AT_A_TIME = 2
/** Instances of the service in a run: the fewest that can differ from each other. */
const INSTANCES = 2
/**
 * How long a run waits for its subscribers to reach the end of the log, in ms. Subscribers that lost an event
 * for good never reach it.
 */
const SETTLE_MS = 10_000

function readArguments(): {
  seconds: number
  seed: number
  mutants: readonly Mutant[]
  withControl: boolean
} {
  const { values } = parseArgs({
    options: { seconds: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
  })
  const { only } = values
  const seconds = Number(values.seconds ?? 25)
  const seed = Number(values.seed ?? 7)
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new Error('--seconds and --seed must be numbers')
  const mutants = REPORTED.filter(({ name }) => only === undefined || name === only)
  if (mutants.length === 0)
    throw new Error(`--only must be one of ${REPORTED.map(({ name }) => name).join(', ')}`)
  return { seconds, seed, mutants, withControl: only === undefined }
}

async function findProblems(mutants: readonly Mutant[], options: Options): Promise<string[]> {
  const { problems } = await runChaos({
    ...options,
    instances: INSTANCES,
    settleMs: SETTLE_MS,
    preload: preloadOf(mutants),
    sabotage: async (sql) => {
      for (const { sabotage } of mutants) await sabotage?.(sql)
    },
  })
  return problems
}

/** @returns whether a run without a mutant finds no problem */
async function isControlRight(options: Options): Promise<boolean> {
  const problems = await findProblems([POLL_OFF], options)
  console.log(`control, only the poll is off: ${problems.length === 0 ? 'no problem' : problems.join('; ')}`)
  return problems.length === 0
}

async function isReported(mutant: Mutant, { seed, seconds }: Options): Promise<boolean> {
  const { name, fault, faults, clients = [], leavesHoles } = mutant
  const options = {
    seconds: Math.min(seconds, mutant.seconds ?? seconds),
    clients,
    stopsAtFirst: true,
    ...(faults && { faults }),
    ...(leavesHoles !== undefined && { leavesHoles }),
  }
  const began = performance.now()
  for (let run = 0; run < RUNS; run++) {
    const problems = await findProblems([POLL_OFF, mutant], { ...options, seed: seed + run })
    if (problems.length === 0) continue
    const took = ((performance.now() - began) / 1000).toFixed(0)
    console.log(`${name}: reported in run ${run + 1}, after ${took} s (${fault})`)
    for (const problem of problems.slice(0, 3)) console.log(`    ${problem}`)
    return true
  }
  console.log(`${name}: NOT REPORTED in ${RUNS} runs (${fault})`)
  return false
}

async function main(): Promise<void> {
  const { mutants, withControl, ...options } = readArguments()
  const limit = pLimit(AT_A_TIME)
  const results = await Promise.all([
    ...(withControl ? [limit(() => isControlRight(options))] : []),
    ...mutants.map((mutant) => limit(() => isReported(mutant, options))),
  ])
  if (results.includes(false)) process.exitCode = 1
}

try {
  await main()
} catch (err) {
  console.error(err, `\n\n${USAGE}`)
  process.exitCode = 2
}
// Without this, Node 20 sometimes loops forever while it closes the handles of a process that has ended.
process.exit()

import { mkdir, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import create from './create.js'
import deliveries from './deliveries.js'
import filters from './filters.js'
import growth from './growth.js'
import { describeMachine, load } from './harness/machine.js'
import type { Question } from './harness/question.js'
import { report } from './harness/report.js'
import { type Answer, ask } from './harness/rounds.js'
import { Scope } from '../harness/scope.js'
import idle from './idle.js'
import importCatalogue from './import.js'
import importBurst from './import-burst.js'
import instances from './instances.js'
import latency from './latency.js'
import list from './list.js'
import mutations from './mutations.js'
import notModified from './not-modified.js'
import read from './read.js'
import replay from './replay.js'
import retention from './retention.js'
import scaling from './scaling.js'
import search from './search.js'
import start from './start.js'

/** The benchmarks by their names, in the order of the report. The name is that of the file. */
const QUESTIONS: Record<string, Question | readonly Question[]> = {
  deliveries,
  'import-burst': importBurst,
  filters,
  latency,
  instances,
  replay,
  idle,
  create,
  read,
  'not-modified': notModified,
  list,
  search,
  mutations,
  import: importCatalogue,
  growth,
  retention,
  scaling,
  start,
}

/** The folder of the reports, relative to the root of the project. */
const RESULTS = 'tools/bench/results/'

const USAGE = `usage: npm run bench -- [benchmark …] [--rounds n] [--quick] [--profile folder] [--write]

  --rounds   how often each side is measured, alternately; the default is 3 to 5 times
  --quick    a smoke run with small numbers, whose figures are meaningless
  --profile  the folder for CPU profiles of the measured Node processes
  --write    runs every benchmark and writes the report to ${RESULTS}

benchmarks: ${Object.keys(QUESTIONS).join(' ')}`

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  })
  const wanted = values.rounds ?? (values.quick ? '1' : undefined)
  const rounds = wanted === undefined ? undefined : Number(wanted)
  if (rounds !== undefined && (!Number.isInteger(rounds) || rounds < 1))
    throw new Error('--rounds must be a whole number greater than 0')
  const unknown = positionals.find((name) => !(name in QUESTIONS))
  if (unknown !== undefined) throw new Error(`unknown benchmark: ${unknown}`)
  if (values.write && (values.quick || positionals.length > 0)) {
    throw new Error('--write runs every benchmark and accepts neither names nor --quick')
  }
  const asked = Object.entries(QUESTIONS).filter(
    ([name]) => positionals.length === 0 || positionals.includes(name),
  )
  const profiles = values.profile === undefined ? undefined : resolve(values.profile)
  return { ...values, rounds, asked, profiles }
}

function reject(err: unknown): never {
  console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`)
  process.exit(2)
}

const progress = (line: string) => process.stderr.write(`${line}\n`)

async function main(): Promise<void> {
  const args = (() => {
    try {
      return readArguments()
    } catch (err) {
      return reject(err)
    }
  })()
  const { asked, rounds, quick, profiles, write } = args
  if (profiles !== undefined) await mkdir(profiles, { recursive: true })
  const began = new Date()
  const before = load()
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interruption.abort())
  }
  const scope = new Scope({ quick, profiles }, interruption.signal)
  const answers: Answer[] = []
  for (const [name, questions] of asked) {
    for (const question of [questions].flat()) {
      progress(`${name}: ${question.title}`)
      answers.push(await ask(scope, question, rounds, progress))
    }
  }
  const date = began.toISOString().slice(0, 10)
  const minutes = Math.round((Date.now() - began.getTime()) / 6000) / 10
  const text = [
    `# Benchmarks of ${date}\n`,
    `${await describeMachine()}.`,
    `Load average before ${before}, after ${load()}; ${minutes} minutes.`,
    'Every figure is the median of the rounds. The sides alternate, each in fresh processes.',
    '[performance.md](../../../docs/performance.md) explains the targets that are not reached.',
    ...(quick ? ['\n**A smoke run with small numbers: its figures are meaningless.**'] : []),
    '',
    answers.map(report).join('\n'),
  ].join('\n')
  if (write) await writeFile(new URL(`${RESULTS}${date}.md`, import.meta.resolve('#root')), text)
  else process.stdout.write(text)
  const isBroken = ({ failed, outcomes }: Answer) =>
    failed === true || outcomes.some(({ failures }) => failures.length > 0)
  if (answers.some(isBroken)) process.exitCode = 1
}

main().catch((err: unknown) => {
  console.error(err)
  process.exitCode = 1
})

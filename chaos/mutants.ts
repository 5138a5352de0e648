/**
 * Shows that the chaos run bites: the service is made wrong in four ways that have cost others events, and the checker must
 * report each. The poll that hides a lost notification for at most a second is off in all of them, the control included.
 */
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Sql } from '../store/connect.js'
import { runChaos } from './run.js'

const DIST = new URL('dist/', import.meta.resolve('#root'))
const MUTANT = new URL('mutant/', import.meta.resolve('#root'))
const SEED = 7
const SECONDS = 25

interface Edit {
  file: string
  from: string
  to: string
}

interface Mutant {
  name: string
  edits: readonly Edit[]
  sabotage?: (sql: Sql) => Promise<unknown>
}

const POLL_OFF: Edit = {
  file: 'plugins/sse.js',
  from: 'const POLL_MS = 1000',
  to: 'const POLL_MS = 3_600_000',
}

const MUTANTS: readonly Mutant[] = [
  {
    name: 'the gap rule is naive: nobody is asked who may still fill a hole',
    edits: [{ file: 'store/events.js', from: 'return row.writers', to: 'return []' }],
  },
  {
    name: 'onlisten does not look again',
    edits: [{ file: 'plugins/sse.js', from: "'silo_events', lookFor, greet", to: "'silo_events', lookFor" }],
  },
  {
    name: 'there is an await between what is due to a connection and its being sent',
    edits: [
      { file: 'feed/connection.js', from: '    pump() {', to: '    async pump() {' },
      {
        file: 'feed/connection.js',
        from: 'this.#writeSlice(ring.slice(this.#cursor, this.filter));',
        to: 'const slice = ring.slice(this.#cursor, this.filter); await new Promise((resolve) => setTimeout(resolve, 5)); this.#writeSlice(slice);',
      },
    ],
  },
  {
    name: 'the trigger that writes the log forgets changes',
    edits: [],
    sabotage: (sql) =>
      sql.unsafe(`
        drop trigger items_log on items;
        create constraint trigger items_log after insert on items
          deferrable initially deferred for each row execute function items_log();
      `),
  },
]

async function build(edits: readonly Edit[]): Promise<string> {
  await rm(MUTANT, { recursive: true, force: true })
  await cp(DIST, MUTANT, { recursive: true })
  for (const { file, from, to } of edits) {
    const text = await readFile(new URL(file, MUTANT), 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${file} does not say "${from}" exactly once`)
    await writeFile(new URL(file, MUTANT), text.replace(from, to))
  }
  return fileURLToPath(new URL('server.js', MUTANT))
}

async function tryOut({ edits, sabotage }: Omit<Mutant, 'name'>): Promise<string[]> {
  const entry = await build([POLL_OFF, ...edits])
  const { problems } = await runChaos({ seed: SEED, seconds: SECONDS, entry, ...(sabotage && { sabotage }) })
  return problems
}

let survivors = 0
const control = await tryOut({ edits: [] })
console.log(
  `control, only the poll is off: ${control.length === 0 ? 'no problem, as it should be' : control.join('; ')}`,
)
if (control.length > 0) survivors++
for (const mutant of MUTANTS) {
  const problems = await tryOut(mutant)
  console.log(`${mutant.name}: ${problems.length > 0 ? 'reported' : 'NOT REPORTED'}`)
  for (const problem of problems.slice(0, 3)) console.log(`    ${problem}`)
  if (problems.length === 0) survivors++
}
await rm(MUTANT, { recursive: true, force: true })
process.exitCode = survivors > 0 ? 1 : 0

import { Missing } from '../../harness/missing.js'
import type { Figures, Question, Side } from './question.js'
import type { Scope } from '../../harness/scope.js'

const LIMIT_MS = 120_000
const ROUNDS = 3
/** How long a benchmark may take to prepare and to clean up, in addition to its measurements, in ms. */
const PREPARATION_MS = 600_000

/** The result of one side: its figures of every round, or why there are none. */
export class Outcome {
  readonly rounds: Figures[] = []
  readonly failures: string[] = []
  missing: string | undefined

  constructor(readonly side: string) {}
}

/** The result of a benchmark. */
export interface Answer {
  question: Question
  outcomes: Outcome[]
  /** Why nothing could be measured. Undefined if something could. */
  missing?: string
  /** True if nothing could be measured for another reason than a missing program. */
  failed?: boolean
  notes: ReadonlyMap<string, string>
}

const messageOf = (err: unknown): string => (err instanceof Error ? err.message : String(err))

/** Measures a side once and adds the result to `outcome`. Returns a line about it. */
async function measureOnce(scope: Scope, side: Side, limitMs: number, outcome: Outcome): Promise<string> {
  try {
    const figures = await scope.within(limitMs, (inner) => side.measure(inner))
    outcome.rounds.push(figures)
    return JSON.stringify(figures)
  } catch (err) {
    const reason = messageOf(err)
    if (err instanceof Missing) outcome.missing = reason
    else outcome.failures.push(reason)
    return reason
  }
}

/**
 * Runs one benchmark: measures every side once in each round, forwards in one round and backwards in the
 * next, so that a machine that becomes warm or busy favours no side.
 * @param wanted the number of rounds, in place of the benchmark's own
 */
export async function ask(
  run: Scope,
  question: Question,
  wanted: number | undefined,
  progress: (line: string) => void,
): Promise<Answer> {
  const { limitMs = LIMIT_MS } = question
  const rounds = wanted ?? question.rounds ?? ROUNDS
  const answer: Answer = { question, outcomes: [], notes: new Map() }
  await run.within(PREPARATION_MS + 20 * rounds * limitMs, async (scope) => {
    const sides = await sidesOf(question, scope, answer)
    const pairs = sides.map((side) => ({ side, outcome: new Outcome(side.name) }))
    answer.outcomes.push(...pairs.map(({ outcome }) => outcome))
    for (let round = 0; round < rounds; round++) {
      for (const { side, outcome } of round % 2 === 0 ? pairs : pairs.toReversed()) {
        run.interrupted.throwIfAborted()
        if (outcome.missing !== undefined) continue
        progress(`  ${round + 1} ${side.name}: ${await measureOnce(scope, side, limitMs, outcome)}`)
      }
    }
    answer.notes = scope.notes
  })
  return answer
}

async function sidesOf(question: Question, scope: Scope, answer: Answer): Promise<readonly Side[]> {
  try {
    return await question.sides(scope)
  } catch (err) {
    answer.missing = messageOf(err)
    answer.failed = !(err instanceof Missing)
    return []
  }
}

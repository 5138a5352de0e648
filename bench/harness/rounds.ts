import { type Figures, Missing, type Question, type Side } from './question.js'
import type { Scope } from './scope.js'

const LIMIT_MS = 120_000
const ROUNDS = 3
/** What a question may take to prepare and to clear up, besides its measurements, in ms. */
const PREPARATION_MS = 600_000

/** What came of a side: its figures of every round, or why there are none. */
export class Outcome {
  readonly rounds: Figures[] = []
  readonly failures: string[] = []
  missing: string | undefined

  constructor(readonly side: string) {}
}

export interface Answer {
  question: Question
  outcomes: Outcome[]
  /** Why nothing could be measured. */
  missing?: string
  /** It could not for another reason than that a program is not installed. */
  failed?: boolean
  notes: ReadonlyMap<string, string>
}

const messageOf = (err: unknown): string => (err instanceof Error ? err.message : String(err))

/** Measures once, and says what came of it. */
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
 * Measures every side once a round, in turn, as many rounds as are `wanted` or else the question's: forwards in one round and
 * backwards in the next, so that a machine that grows warm or busy favours nobody.
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

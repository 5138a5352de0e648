import { type Check, NotApplicable } from './check.js'
import { answerChecks } from './checks/answer.js'
import { closingChecks, connectionChecks } from './checks/connections.js'
import { deliveryChecks } from './checks/delivery.js'
import { resumingChecks } from './checks/resuming.js'
import { Suite } from './suite.js'
import type { Target } from './target.js'

/** All checks, in the order in which they run. */
export const checks: readonly Check[] = [
  ...answerChecks,
  ...resumingChecks,
  ...deliveryChecks,
  ...connectionChecks,
  ...closingChecks,
]

/** The result of one check. */
export interface Result {
  id: string
  title: string
  source: string
  outcome: 'passed' | 'failed' | 'skipped'
  /** What was observed if it failed, or why it was skipped: a sentence without its full stop. */
  reason: string | undefined
}

async function make({ id, title, source, run }: Check, suite: Suite): Promise<Result> {
  const result = { id, title, source }
  try {
    await run(suite)
    return { ...result, outcome: 'passed', reason: undefined }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const outcome = error instanceof NotApplicable ? 'skipped' : 'failed'
    return { ...result, outcome, reason: error.message }
  } finally {
    suite.closeOthers()
  }
}

/**
 * Runs all checks on a server. Other clients should not write to it meanwhile.
 * @param report called with each result at once
 */
export async function runChecks(
  target: Target,
  report: (result: Result) => void = () => undefined,
): Promise<Result[]> {
  const suite = new Suite(target)
  const results: Result[] = []
  let broken: Check | undefined
  try {
    for (const check of checks) {
      const { id, title, source, essential } = check
      const result: Result = broken
        ? { id, title, source, outcome: 'skipped', reason: `not run because "${broken.id}" failed` }
        : await make(check, suite)
      if (essential === true && result.outcome === 'failed') broken = check
      results.push(result)
      report(result)
    }
  } finally {
    suite.close()
  }
  return results
}

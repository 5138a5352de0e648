import fc from 'fast-check'
import type { Operation } from './document.js'
import type { Judge } from './judge.js'
import { type Known, requestsOf } from './requests.js'
import { type Case, type Guilt, Suspects } from './suspects.js'
import { Turnstile } from './turnstile.js'
import type { Vitals } from './vitals.js'
import { type Answer, Connection, type Request, WireError, mayGoUnanswered } from './wire.js'

/** Requests on their way at a time, each on a connection of its own. */
const IN_FLIGHT = 12
/** Cases that one property tries; where one fails, the others of its share are not tried. */
const SHARE = 100
/** An operation with so many findings is left alone. */
const ENOUGH_FINDINGS = 3
/** How long one share may take with all its shrinking, in ms. */
const SHARE_MS = 300_000
/** After so many shares the memory is measured. */
const SHARES_PER_MEASUREMENT = 8

export interface Finding {
  operation: string
  what: string
  seed: number
  shrinks: number
  counterexample: Request | undefined
}

export interface Found {
  cases: number
  byOperation: Record<string, { cases: number; accepted: number }>
  byStatus: Record<string, number>
  findings: Finding[]
  /** The longest pause of the event loop that was beyond the bound, in ms; 0 where there was none. */
  longestPauseMs: number
  /** The most that the process held after its garbage was collected, in bytes. */
  peakRss: number
}

export interface Search {
  port: number
  operations: readonly Operation[]
  known: Known
  judge: Judge
  cases: number
  seed: number
  /** The event loop and the memory of the service; they are not judged where they can't be seen. */
  vitals?: Vitals
  /** How often an operation is tried, compared with others: 1 where nothing is said. */
  weights?: Record<string, number>
  /** Sees every answer. */
  note?: (request: Request, answer: Answer) => Promise<void> | void
  /** False when going on makes no sense. */
  isAlive?: () => boolean
}

interface Share {
  operation: Operation
  cases: number
  seed: number
}

/** All cases in small shares, the operations in turn. */
function divide({ operations, weights = {}, cases, seed }: Search): Share[] {
  const weightOf = ({ id }: Operation) => weights[id] ?? 1
  const total = operations.reduce((sum, operation) => sum + weightOf(operation), 0)
  const shares = operations.flatMap((operation, place) => {
    const due = Math.ceil((cases * weightOf(operation)) / total)
    return Array.from({ length: Math.ceil(due / SHARE) }, (_, turn) => ({
      operation,
      turn,
      cases: Math.min(SHARE, due - turn * SHARE),
      seed: seed + place * 1000 + turn * 100_000,
    }))
  })
  return shares.sort((a, b) => a.turn - b.turn)
}

const findingOf = ({ operation, seed, request, what }: Guilt): Finding => ({
  operation,
  what,
  seed,
  shrinks: 0,
  counterexample: request,
})

/** Tries every operation with hostile requests, and shrinks what fails to the least that does. */
export async function search(options: Search): Promise<Found> {
  const { port, known, judge, note, isAlive = () => true } = options
  const found: Found = {
    cases: 0,
    byOperation: {},
    byStatus: {},
    findings: [],
    longestPauseMs: 0,
    peakRss: 0,
  }
  const shares = divide(options)
  const turnstile = new Turnstile()

  const countsOf = (id: string) => (found.byOperation[id] ??= { cases: 0, accepted: 0 })

  /** Sends a case that is tried alone, on a connection of its own. */
  async function send({ request }: Case): Promise<void> {
    const connection = new Connection(port)
    const answer = await connection.ask(request).catch(() => undefined)
    connection.close()
    if (answer) await note?.(request, answer)
  }
  const suspects = options.vitals && new Suspects(options.vitals, turnstile, send)

  async function ask(connection: Connection, request: Request, { id }: Operation): Promise<string[]> {
    try {
      const answer = await connection.ask(request)
      if (answer.status < 400) countsOf(id).accepted++
      found.byStatus[answer.status] = (found.byStatus[answer.status] ?? 0) + 1
      await note?.(request, answer)
      return judge.judge(request, answer)
    } catch (error) {
      connection.close()
      if (mayGoUnanswered(request)) return []
      if (error instanceof WireError) return [error.message]
      if (error instanceof Error && 'code' in error) return [`no answer: ${String(error.code)}`]
      throw error
    }
  }

  async function tryShare({ operation, cases, seed }: Share, connection: Connection): Promise<void> {
    let asked = 0
    const property = fc.asyncProperty(requestsOf(operation, known), async (request) => {
      if (!isAlive()) return
      asked++
      const work = () => ask(connection, request, operation)
      const each = { operation: operation.id, seed, request }
      const wrong = await turnstile.beside(() => suspects?.during(each, work) ?? work())
      if (wrong.length > 0) throw new Error(wrong.join('\n'))
    })
    const details = await fc.check(property, {
      seed,
      numRuns: cases,
      interruptAfterTimeLimit: SHARE_MS,
      markInterruptAsFailure: true,
    })
    const tried = Math.min(asked, details.numRuns)
    found.cases += tried
    countsOf(operation.id).cases += tried
    if (!details.failed) return
    const { counterexample, errorInstance, numShrinks } = details
    found.findings.push({
      operation: operation.id,
      what: errorInstance instanceof Error ? errorInstance.message : 'it took too long',
      seed,
      shrinks: numShrinks,
      counterexample: counterexample?.[0],
    })
  }

  async function judgeProcess(withMemory: boolean): Promise<void> {
    try {
      if (isAlive()) await suspects?.judgePauses()
      if (withMemory && isAlive()) await suspects?.judgeMemory()
    } catch (err) {
      // What ended it is the run's to say.
      if (isAlive()) throw err
    }
  }

  let done = 0
  async function work(): Promise<void> {
    const connection = new Connection(port)
    for (let share = shares.shift(); share && isAlive(); share = shares.shift()) {
      const { id } = share.operation
      const known = found.findings.filter(({ operation }) => operation === id)
      if (known.length < ENOUGH_FINDINGS) await tryShare(share, connection)
      await judgeProcess(++done % SHARES_PER_MEASUREMENT === 0)
    }
    connection.close()
  }

  await judgeProcess(true)
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))
  await judgeProcess(true)
  found.findings.push(...(suspects?.guilty ?? []).map(findingOf))
  found.longestPauseMs = options.vitals?.longestMs ?? 0
  found.peakRss = suspects?.peakRss ?? 0
  return found
}

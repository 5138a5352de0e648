import fc from 'fast-check'
import type { Operation } from './document.js'
import type { Judge } from './judge.js'
import { type Known, requestsOf } from './requests.js'
import { type Case, type Guilt, Suspects } from './suspects.js'
import { Turnstile } from './turnstile.js'
import type { Vitals } from './vitals.js'
import { type Answer, Connection, type Request, WireError, mayGoUnanswered } from './wire.js'

/** Concurrent requests, each on its own connection. */
const IN_FLIGHT = 12
/** Maximum number of cases in a share. If a case fails, the remaining cases of its share are not tested. */
const SHARE = 100
/** An operation with this many findings is not tested any more. */
const ENOUGH_FINDINGS = 3
/** Maximum time that the requests of one share may take, shrinking included, in ms. */
const SHARE_MS = 300_000
/** Number of shares between two measurements of the memory. */
const SHARES_PER_MEASUREMENT = 8

/** A request with which something was wrong. */
export interface Finding {
  operation: string
  what: string
  seed: number
  shrinks: number
  counterexample: Request | undefined
}

/** The result of a search. */
export interface Found {
  cases: number
  byOperation: Record<string, { cases: number; accepted: number }>
  byStatus: Record<string, number>
  findings: Finding[]
  /** The longest pause of the event loop beyond the bound, in ms; 0 if there was none. */
  longestPauseMs: number
  /** The maximum of the resident memory after garbage collection, in bytes. */
  peakRss: number
}

/** The options of a search. */
export interface Search {
  port: number
  operations: readonly Operation[]
  known: Known
  judge: Judge
  cases: number
  seed: number
  /** The event loop and the memory of the service. By default, they are not checked. */
  vitals?: Vitals
  /** How often an operation is tested, compared with others, by its id; 1 by default. */
  weights?: Record<string, number>
  /** Called with every response. */
  note?: (request: Request, answer: Answer) => Promise<void> | void
  /** Returns false when the search should stop. */
  isAlive?: () => boolean
}

interface Share {
  operation: Operation
  cases: number
  seed: number
}

/** Divides all cases into small shares, with the operations in turn. */
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

/** Tests every operation with hostile requests, and shrinks each request that fails to a minimal one. */
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

  /** Sends a case alone, on a connection of its own. */
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
      if (error instanceof Error && 'code' in error) return [`no response: ${String(error.code)}`]
      throw error
    }
  }

  async function tryShare({ operation, cases, seed }: Share, connection: Connection): Promise<void> {
    let asked = 0
    /** Without the time in which a request waits for work that runs alone. */
    let spentMs = 0
    const property = fc.asyncProperty(requestsOf(operation, known), async (request) => {
      if (!isAlive() || spentMs > SHARE_MS) return
      asked++
      const work = async () => {
        const began = performance.now()
        try {
          return await ask(connection, request, operation)
        } finally {
          spentMs += performance.now() - began
        }
      }
      const each = { operation: operation.id, seed, request }
      const wrong = await turnstile.beside(() => suspects?.during(each, work) ?? work())
      if (wrong.length > 0) throw new Error(wrong.join('\n'))
    })
    const details = await fc.check(property, { seed, numRuns: cases })
    const tried = Math.min(asked, details.numRuns)
    found.cases += tried
    countsOf(operation.id).cases += tried
    if (!details.failed && spentMs <= SHARE_MS) return
    const { counterexample, errorInstance, numShrinks } = details
    found.findings.push({
      operation: operation.id,
      what:
        errorInstance instanceof Error
          ? errorInstance.message
          : `${asked} requests took ${Math.round(spentMs)} ms`,
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
      // The run reports why the service ended.
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

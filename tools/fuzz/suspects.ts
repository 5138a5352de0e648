import type { Turnstile } from './turnstile.js'
import type { Vitals } from './vitals.js'
import type { Request } from './wire.js'

const MIB = 1024 * 1024

/**
 * A request is reported if it causes a pause in each of this many repetitions, without other requests
 * (docs/decisions/0038).
 */
const CONFIRMATIONS = 3
/** Maximum time from the end of a pause to its report, in ms. */
const TOLD_AFTER_MS = 2000
/** Maximum growth of the memory between two measurements, in bytes. */
const MAX_GROWTH = 48 * MIB
/** Maximum growth of the memory in a whole run, in bytes. */
const MAX_TOTAL_GROWTH = 160 * MIB
/** Maximum resident memory after garbage collection, in bytes. */
const MAX_RSS = 1024 * MIB
/** How often a request is repeated to see whether it leaks. */
const REPEATS = 20
/** A request leaks if it leaves more than this behind each time that it is repeated, in bytes. */
export const LEAK_BYTES = 32 * 1024
/** Maximum number of requests of an operation that are repeated, one by one. */
const MOST_REPEATED = 5
/** Maximum number of requests that are repeated without others, to confirm pauses. */
const MOST_SUSPECTS = 24

/** A request that was sent, with the operation and the seed that it was generated from. */
export interface Case {
  operation: string
  seed: number
  request: Request
}

/** A request that was confirmed to block the event loop or to make memory grow. */
export interface Guilt extends Case {
  what: string
}

/**
 * Finds the request that blocked the event loop, or that makes memory grow. Nothing else is sent meanwhile.
 */
export class Suspects {
  readonly guilty: Guilt[] = []
  /** Requests in flight, with the time at which they began, by `performance.now()`. */
  readonly #inFlight = new Map<Case, number>()
  readonly #paused = new Set<Case>()
  #recent: { each: Case; tookMs: number; endedAt: number }[] = []
  /** Requests sent since the last measurement of memory. */
  #sent: Case[] = []
  #first: number | undefined
  #last: number | undefined
  #peakRss = 0

  constructor(
    readonly vitals: Vitals,
    readonly turnstile: Turnstile,
    /** Sends a request and waits for its response. */
    readonly send: (each: Case) => Promise<unknown>,
  ) {
    vitals.onPause((pauseMs) => {
      const now = performance.now()
      const underWay = [...this.#inFlight].map(([each, began]) => ({
        each,
        tookMs: now - began,
        endedAt: now,
      }))
      const hadPause = [...underWay, ...this.#recent].filter(({ tookMs, endedAt }) => {
        return tookMs > pauseMs / 2 && endedAt > now - pauseMs - TOLD_AFTER_MS
      })
      for (const { each } of hadPause) this.#paused.add(each)
    })
  }

  /** The maximum of the resident memory after garbage collection, in bytes. */
  get peakRss(): number {
    return this.#peakRss
  }

  /** Runs `work`, and records the request as in flight meanwhile. */
  async during<T>(each: Case, work: () => Promise<T>): Promise<T> {
    const began = performance.now()
    this.#inFlight.set(each, began)
    this.#sent.push(each)
    try {
      return await work()
    } finally {
      this.#inFlight.delete(each)
      const now = performance.now()
      this.#recent = this.#recent.filter(({ endedAt }) => endedAt > now - 10_000)
      this.#recent.push({ each, tookMs: now - began, endedAt: now })
    }
  }

  /**
   * Repeats the requests that were in flight during a pause, one at a time, and reports those that cause a
   * pause each time.
   */
  async judgePauses(): Promise<void> {
    if (this.#paused.size === 0) return
    await this.turnstile.alone(async () => {
      const suspects = [...this.#paused].slice(0, MOST_SUSPECTS)
      this.#paused.clear()
      for (const each of suspects) {
        const pauseMs = await this.measurePause(each)
        if (pauseMs > 0) this.guilty.push({ ...each, what: `the event loop stood still for ${pauseMs} ms` })
      }
      this.#paused.clear()
    })
  }

  /** Repeats the request without others. Returns the shortest pause, in ms; 0 if a repetition causes none. */
  async measurePause(each: Case): Promise<number> {
    let least = Infinity
    for (let i = 0; i < CONFIRMATIONS && least > 0; i++) {
      least = Math.min(least, await this.vitals.pauseDuring(() => this.send(each)))
    }
    return least
  }

  /** Measures memory. If it has grown too much, finds the request that makes it grow. */
  async judgeMemory(): Promise<void> {
    await this.turnstile.alone(async () => {
      const { rss, used } = await this.vitals.readMemory()
      const sent = this.#sent
      this.#sent = []
      this.#peakRss = Math.max(this.#peakRss, rss)
      this.#first ??= used
      const grown = used - (this.#last ?? used)
      const isTooMuch = grown > MAX_GROWTH || used - this.#first > MAX_TOTAL_GROWTH || rss > MAX_RSS
      this.#last = used
      if (!isTooMuch) return
      const what = `after collection: ${mib(used)}, ${mib(grown)} more than before; ${mib(rss)} resident`
      this.guilty.push(...(await this.#findLeak(sent, what)))
      this.#last = (await this.vitals.readMemory()).used
      this.#first = this.#last
    })
  }

  /** Returns how much memory a request leaves behind each time that it is repeated, in bytes. */
  async measureLeak(each: Case): Promise<number> {
    const before = await this.vitals.readMemory()
    for (let i = 0; i < REPEATS; i++) await this.send(each)
    const after = await this.vitals.readMemory()
    return (after.used - before.used) / REPEATS
  }

  async #findLeak(sent: readonly Case[], what: string): Promise<Guilt[]> {
    let worst: { each: Case; bytes: number } | undefined
    for (const operation of new Set(sent.map((each) => each.operation))) {
      const its = sent.filter((each) => each.operation === operation)
      for (const each of its.slice(-MOST_REPEATED)) {
        const bytes = await this.measureLeak(each)
        if (bytes > (worst?.bytes ?? LEAK_BYTES)) worst = { each, bytes }
      }
    }
    const [last] = sent.slice(-1)
    if (worst)
      return [
        {
          ...worst.each,
          what: `${what}; this request leaves ${Math.round(worst.bytes / 1024)} KiB each time`,
        },
      ]
    return last
      ? [
          {
            ...last,
            what: `${what}; no single request of the last ${sent.length} was found to leave so much`,
          },
        ]
      : []
  }
}

const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`

import type { LogPage, LoggedEvent, Position } from '../schemas/events.js'
import { isSamePosition } from './cursor.js'

const PAGE = 1000
/** While somebody may still fill a hole, the log is looked at again after this long, doubling, in ms. */
const HOLE_DELAY_MS = { first: 2, most: 50 }

/** The log as the tail needs it. */
export interface EventLog {
  /** Events after `after`, in order of id, at most `limit` of them, with what stands at `after`: one statement, so one snapshot. */
  read(after: number, limit: number): Promise<LogPage>
  /** The transactions that have drawn an id, or are about to, and have not ended. */
  writers(): Promise<string[]>
}

export interface TailListener {
  /** The log begins anew for us, at `head`: at the start, in another history, or where retention overtook us. */
  restarted(epoch: string, head: Position): void
  /** These events come next, and nothing else will ever come up to the last of them. */
  settled(events: LoggedEvent[]): void
}

/** Ids are missing below `upTo`; `writers` are those who may still fill them. */
interface Hole {
  upTo: number
  writers: Set<string>
  since: number
}

/**
 * Follows the log and hands its events on in the order of their ids, each once, none left out.
 *
 * Ids are drawn before the commit, so they become visible in another order. The tail therefore stops before a missing
 * id k until it knows what becomes of it. The proof that it may go on:
 *
 * 1. Whoever draws an id has locked the table before (`RowExclusiveLock`, taken by the insert whose default draws it)
 *    and keeps the lock until the transaction has ended; its rows are visible before the lock is released.
 * 2. The sequence has no cache, so k was drawn before any visible N > k. Its writer is thus, when a page has shown N,
 *    either among the holders of the lock *read after that page*, or has ended.
 * 3. A holder that is gone has ended. Once all of the holders of 2. are gone, a page read *after that* shows k, or k was
 *    rolled back and will never come. Sequences don't go back, so nobody else will draw it.
 *
 * Writers that come later are not waited for: they draw larger ids. Nothing here depends on time.
 *
 * A log that is restored under us goes back, so every page begins at the last event that was handed on. Where that event is not
 * the one that stands there, the log is of another history (docs/decisions/0019).
 */
export class Tail {
  readonly #log: EventLog
  readonly #listener: TailListener
  readonly #onError: (error: unknown) => void

  #epoch = ''
  #head: Position = { id: 0, check: '' }
  #hole: Hole | undefined
  /** Up to here whatever is missing in a page that is read from now on will never come. */
  #finalUpTo = 0

  #wanted = false
  #running: Promise<boolean> | undefined
  #holeDelay = HOLE_DELAY_MS.first
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(log: EventLog, listener: TailListener, onError: (error: unknown) => void) {
    this.#log = log
    this.#listener = listener
    this.#onError = onError
  }

  /** For how long an event that is visible has been waiting for one before it, in ms. */
  get lagMs(): number {
    return this.#hole ? Math.round(performance.now() - this.#hole.since) : 0
  }

  /** Finds the settled end of the log and begins there. Rejects when the log can't be read. */
  async start(): Promise<void> {
    const { epoch, anchor } = await this.#log.read(Number.MAX_SAFE_INTEGER, 0)
    // Below the newest id somebody may not have committed yet: to begin at it would lose that event for ever.
    const before = new Set(await this.#log.writers())
    while (before.size > 0 && !this.#stopped) {
      await new Promise((resolve) => setTimeout(resolve, HOLE_DELAY_MS.first))
      keepOnly(before, await this.#log.writers())
    }
    this.#begin(epoch, anchor)
  }

  #begin(epoch: string, head: Position): void {
    this.#epoch = epoch
    this.#head = head
    this.#finalUpTo = head.id
    this.#hole = undefined
    this.#listener.restarted(epoch, head)
  }

  /**
   * Looks at the log, now or, if it is being looked at, once more after that. Never rejects, costs nothing to repeat.
   * @returns whether the log could be read, when it has been
   */
  async look(): Promise<boolean> {
    this.#wanted = true
    return (this.#running ??= this.#run())
  }

  /** Ends the tail; resolves when the last look is over. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #run(): Promise<boolean> {
    clearTimeout(this.#timer)
    try {
      while (this.#wanted && !this.#stopped) {
        this.#wanted = false
        if (await this.#advance()) this.#wanted = true
      }
      if (this.#hole && !this.#stopped) this.#lookSoon()
      return true
    } catch (error) {
      this.#onError(error)
      return false
    } finally {
      this.#running = undefined
    }
  }

  #lookSoon(): void {
    this.#timer = setTimeout(() => void this.look(), this.#holeDelay)
    this.#holeDelay = Math.min(this.#holeDelay * 2, HOLE_DELAY_MS.most)
  }

  /** One page. Returns whether there is reason to read the next one at once. */
  async #advance(): Promise<boolean> {
    const { epoch, anchor, events, isCut } = await this.#log.read(this.#head.id, PAGE)
    if (epoch !== this.#epoch || !isSamePosition(anchor, this.#head)) {
      await this.start()
      return true
    }
    const end = this.#settledEnd(events)
    const last = events[end - 1]
    if (last) {
      this.#head = { id: last.id, check: last.check }
      this.#listener.settled(events.slice(0, end))
    }
    if (end === events.length) {
      this.#hole = undefined
      this.#holeDelay = HOLE_DELAY_MS.first
      return isCut || events.length === PAGE
    }
    return this.#isHoleFinal(events.at(-1)?.id ?? 0)
  }

  /** How many of the page's events may leave: up to the first missing id that could still come. */
  #settledEnd(events: LoggedEvent[]): number {
    let expected = this.#head.id + 1
    for (const [index, { id }] of events.entries()) {
      if (id !== expected && id > this.#finalUpTo) return index
      expected = id + 1
    }
    return events.length
  }

  /** Asks who could still fill the hole; true when nobody can, so that the next page decides. */
  async #isHoleFinal(upTo: number): Promise<boolean> {
    const writers = await this.#log.writers()
    if (this.#hole) keepOnly(this.#hole.writers, writers)
    else this.#hole = { upTo, writers: new Set(writers), since: performance.now() }
    if (this.#hole.writers.size > 0) return false
    this.#finalUpTo = this.#hole.upTo
    this.#hole = undefined
    return true
  }
}

function keepOnly(set: Set<string>, members: readonly string[]): void {
  for (const member of set) if (!members.includes(member)) set.delete(member)
}

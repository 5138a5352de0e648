import type { LogPage, LoggedEvent, Position } from '../schemas/events.js'
import { isSamePosition } from './cursor.js'

/** Maximum number of events in one read. */
const PAGE = 1000
/**
 * Delay before the log is read again while an event may still appear in a hole, in ms. Doubles from `first`
 * up to `max`.
 */
const HOLE_DELAY_MS = { initial: 2, max: 50 }

/** The event log, as the tail reads it. */
export interface EventLog {
  /**
   * Reads the events after `after` in order of id, at most `limit`, and the newest event at or before `after`
   * (`anchor`). All of it must come from one snapshot.
   */
  read(after: number, limit: number): Promise<LogPage>
  /** Returns the transactions that have drawn an event id, or may still draw one, and have not ended. */
  writers(): Promise<string[]>
}

/** Receives the log from the tail. */
export interface TailListener {
  /**
   * Called when the tail begins at `head`: at the start, after the log was replaced, when retention has
   * deleted events that the tail had not read yet, and after an error of `onSettled`. The next event comes
   * after `head`.
   */
  onRestart(epoch: string, head: Position): void
  /**
   * Called with the next events, in order of id. No other event with an id up to the last of them will ever
   * appear.
   */
  onSettled(events: LoggedEvent[]): void
}

/** Missing ids below a visible event. */
interface Hole {
  /** The newest id that was visible when the hole was found. */
  upTo: number
  /** The transactions that may still fill the hole. */
  writers: Set<string>
  /** When the hole was found, by `performance.now`. */
  since: number
}

/**
 * Follows the log and passes its events to a listener: in order of id, each exactly once, none left out.
 *
 * Ids are drawn before the commit, so events become visible out of order. The tail therefore stops before a
 * missing id k until it knows whether k will still appear. The proof that it may continue:
 *
 * 1. A transaction that draws an id has locked the table before (`RowExclusiveLock`, taken by the insert
 *    whose default draws it) and holds the lock until it has ended. Its rows are visible before the lock is
 *    released.
 * 2. The sequence has no cache, so k was drawn before any visible N > k. When a page has shown N, the
 *    transaction that drew k is therefore among the holders of the lock *read after that page*, or has ended.
 * 3. A holder that no longer appears has ended. Once all holders of 2. have ended, a page read *after that*
 *    shows k, or k was rolled back and will never appear. Sequences don't go back, so no other transaction
 *    will draw k.
 *
 * Transactions that begin later need not be waited for: they draw larger ids. Nothing here depends on time.
 *
 * A restored backup can set the log back, so every read begins at the last event that was passed on. If the
 * log holds another event there, the log was replaced, and the tail starts again at its end
 * (docs/decisions/0019).
 */
export class Tail {
  readonly #log: EventLog
  readonly #listener: TailListener
  readonly #onError: (error: unknown) => void

  #epoch = ''
  #head: Position = { id: 0, check: '' }
  #hole: Hole | undefined
  /** A missing id up to here that is absent from a page read from now on will never appear. */
  #finalUpTo = 0

  /** Whether the log must be read, or read once more after the current read. */
  #pollRequested = false
  #running: Promise<boolean> | undefined
  #holeDelay = HOLE_DELAY_MS.initial
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(log: EventLog, listener: TailListener, onError: (error: unknown) => void) {
    this.#log = log
    this.#listener = listener
    this.#onError = onError
  }

  /** How long visible events have been held back by a hole, in ms; 0 without a hole. */
  get lagMs(): number {
    return this.#hole ? Math.round(performance.now() - this.#hole.since) : 0
  }

  /** Finds the settled end of the log and begins there. Rejects when the log can't be read. */
  async start(): Promise<void> {
    const { epoch, anchor } = await this.#log.read(Number.MAX_SAFE_INTEGER, 0)
    // An id below the newest one may belong to a transaction that has not committed yet. The tail would miss
    // its event forever if it began at the newest id now.
    const before = new Set(await this.#log.writers())
    while (before.size > 0 && !this.#stopped) {
      await new Promise((resolve) => setTimeout(resolve, HOLE_DELAY_MS.initial))
      keepOnly(before, await this.#log.writers())
    }
    this.#begin(epoch, anchor)
  }

  #begin(epoch: string, head: Position): void {
    this.#epoch = epoch
    this.#head = head
    this.#finalUpTo = head.id
    this.#hole = undefined
    this.#listener.onRestart(epoch, head)
  }

  /**
   * Reads the log up to its settled end. A call during a read causes one more read after it. Never rejects;
   * repeated calls are cheap.
   * @returns whether the log could be read; resolves after the read
   */
  async poll(): Promise<boolean> {
    this.#pollRequested = true
    return (this.#running ??= this.#run())
  }

  /** Stops the tail. Resolves when the current read has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #run(): Promise<boolean> {
    clearTimeout(this.#timer)
    try {
      while (this.#pollRequested && !this.#stopped) {
        this.#pollRequested = false
        if (await this.#advance()) this.#pollRequested = true
      }
      if (this.#hole && !this.#stopped) this.#schedulePoll()
      return true
    } catch (error) {
      this.#onError(error)
      return false
    } finally {
      this.#running = undefined
    }
  }

  #schedulePoll(): void {
    this.#timer = setTimeout(() => void this.poll(), this.#holeDelay)
    this.#holeDelay = Math.min(this.#holeDelay * 2, HOLE_DELAY_MS.max)
  }

  /** Reads one page. Returns whether the next page should be read at once. */
  async #advance(): Promise<boolean> {
    const { epoch, anchor, events, isTruncated } = await this.#log.read(this.#head.id, PAGE)
    if (epoch !== this.#epoch || !isSamePosition(anchor, this.#head)) {
      await this.start()
      return true
    }
    const end = this.#settledEnd(events)
    const last = events[end - 1]
    if (last) this.#passOn(events.slice(0, end), { id: last.id, check: last.check })
    if (end === events.length) {
      this.#hole = undefined
      this.#holeDelay = HOLE_DELAY_MS.initial
      return isTruncated || events.length === PAGE
    }
    return this.#isHoleFinal(events.at(-1)?.id ?? 0)
  }

  /**
   * Passes settled events on. If the listener fails, it may lack some of them, so it begins again after them;
   * connections before that position read them from the log.
   */
  #passOn(events: LoggedEvent[], head: Position): void {
    this.#head = head
    try {
      this.#listener.onSettled(events)
    } catch (error) {
      this.#onError(error)
      this.#begin(this.#epoch, head)
    }
  }

  /**
   * Returns how many of the page's events are settled: those before the first missing id that may still
   * appear.
   */
  #settledEnd(events: LoggedEvent[]): number {
    let expected = this.#head.id + 1
    for (const [index, { id }] of events.entries()) {
      if (id !== expected && id > this.#finalUpTo) return index
      expected = id + 1
    }
    return events.length
  }

  /**
   * Finds out whether a transaction may still fill the hole. Returns true if none may: the next page then
   * either shows the missing events, or they will never appear.
   */
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

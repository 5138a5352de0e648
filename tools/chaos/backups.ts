import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Sql, connect } from '../../store/driver/connect.js'
import { readEvents } from '../../store/events.js'
import type { Postgres } from '../harness/postgres-pair.js'
import { type Restore, readRelation } from './truth.js'
import { eventually } from '../harness/eventually.js'

/** How long a standby may take to replay the WAL that it has received, in ms. */
const REPLAY_MS = 10_000
/** How long the log may take to be adopted on a new timeline, in ms. */
const ADOPTED_MS = 10_000

/** Attempts of a restore: a restore and a writer can deadlock, and PostgreSQL then cancels one of them. */
const TRIES = 10

/** Takes and restores the dumps of a run, and records the facts about them that the checker needs. */
export class Backups {
  /** Every restore so far, in order. */
  readonly restores: Restore[] = []
  /**
   * The epochs that the log may have lost. The current one is added when a standby is promoted in whose log
   * ids are missing, and when a dump is restored that was taken on another timeline.
   */
  readonly leftEpochs = new Set<string>()
  /** Promotions of standbys whose log had no missing ids. They must not cause a reset. */
  wholePromotions = 0
  #ids = new Set<number>()
  #timeline = 0

  constructor(
    readonly sql: Sql,
    readonly postgres: Postgres,
  ) {}

  get #file(): string {
    return join(this.postgres.folder, 'dump')
  }

  /** Takes a dump, which replaces the last one. */
  async take(): Promise<void> {
    this.#timeline = await this.#readTimeline()
    this.#ids = await this.postgres.dump(this.#file)
  }

  /** Replaces the content of the database with the last dump. */
  async restore(): Promise<void> {
    const before = await this.#readEpoch()
    for (let attempt = 1; ; attempt++) {
      try {
        await this.postgres.restore(this.#file)
        break
      } catch (err) {
        if (attempt === TRIES) throw err
        await delay(100)
      }
    }
    this.restores.push({ relation: await readRelation(this.sql), ids: this.#ids })
    if ((await this.#readTimeline()) === this.#timeline) return
    this.leftEpochs.add(before)
    // The next dump must be of an adopted log: otherwise its restore changes the epoch once more.
    await this.#readEpoch()
  }

  /**
   * Inspects a standby that has received everything and whose primary has ended. If ids are missing in its
   * log, its promotion changes the epoch and resets every client.
   */
  async inspectStandby(url: string): Promise<void> {
    const standby = connect(url, 1)
    try {
      // Not `replayed >= received`: what was received can end within a record, whose rest never comes.
      const hasReplayed = async () => {
        const [row] = await standby<{ done: boolean }[]>`
          select exists (
            select from pg_stat_activity
             where backend_type = 'startup' and wait_event = 'RecoveryRetrieveRetryInterval'
          ) as done
        `
        return row?.done
      }
      await eventually('the standby has replayed everything that it has received', hasReplayed, {
        timeoutMs: REPLAY_MS,
        retryErrors: true,
      })
      const [row] = await standby<{ isWhole: boolean }[]>`
        select (select count(*) from events where id > pruned_to)
               = greatest((select max(id) from events), pruned_to) - pruned_to as "isWhole"
          from event_log
      `
      if (row?.isWhole) this.wholePromotions++
      else this.leftEpochs.add(await this.#readEpoch(standby))
    } finally {
      await standby.end({ timeout: 1 })
    }
  }

  /** Returns the epoch of the log. Waits until the log is adopted, since it can't be read before. */
  #readEpoch(sql = this.sql): Promise<string> {
    const read = async () => (await readEvents(sql, Number.MAX_SAFE_INTEGER, 0, 0)).epoch
    return eventually('the log is adopted', read, { timeoutMs: ADOPTED_MS, retryErrors: true })
  }

  async #readTimeline(): Promise<number> {
    const [row] = await this.sql<{ timeline: number }[]>`select wal_timeline() as timeline`
    if (!row) throw new Error('a select returned no row')
    return row.timeline
  }
}

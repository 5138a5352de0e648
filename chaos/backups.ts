import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Sql, connect } from '../store/connect.js'
import type { Postgres } from './postgres.js'
import { type Restore, readRelation } from './truth.js'
import { awaitTruth } from './await-truth.js'

/** How long a standby may take to show what it was sent, in ms. */
const REPLAY_MS = 10_000

/** A restore and a writer can wait for each other; PostgreSQL then cancels one of them. */
const TRIES = 10

/** The dumps of a run, and what was restored of them. */
export class Backups {
  /** Each restore, in order. */
  readonly restores: Restore[] = []
  /**
   * Whether the log had to get another epoch: a server was promoted while ids were missing in the log, or a log
   * was restored that had never been on the server's timeline.
   */
  mayChangeEpoch = false
  /** Promotions that must not cause a reset. */
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

  async take(): Promise<void> {
    this.#timeline = await this.#readTimeline()
    this.#ids = await this.postgres.dump(this.#file)
  }

  /** Loads the last dump into the place of what is there. */
  async restore(): Promise<void> {
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
    if ((await this.#readTimeline()) !== this.#timeline) this.mayChangeEpoch = true
  }

  /** Inspects a standby that has everything and whose server has ended: where ids are missing, its promotion resets every client. */
  async inspectStandby(url: string): Promise<void> {
    const standby = connect(url, 1)
    try {
      // Not `replayed >= received`: what was received can end within a record, whose rest never comes.
      await awaitTruth(
        REPLAY_MS,
        'the standby has replayed everything that it has received',
        () => standby<{ done: boolean }[]>`
          select exists (
            select from pg_stat_activity
             where backend_type = 'startup' and wait_event = 'RecoveryRetrieveRetryInterval'
          ) as done
        `,
      )
      const [row] = await standby<{ isWhole: boolean }[]>`
        select (select count(*) from events where id > pruned_to)
               = greatest((select max(id) from events), pruned_to) - pruned_to as "isWhole"
          from event_log
      `
      if (row?.isWhole) this.wholePromotions++
      else this.mayChangeEpoch = true
    } finally {
      await standby.end({ timeout: 1 })
    }
  }

  async #readTimeline(): Promise<number> {
    const [row] = await this.sql<{ timeline: number }[]>`select wal_timeline() as timeline`
    if (!row) throw new Error('a select returned no row')
    return row.timeline
  }
}

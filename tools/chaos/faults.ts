import { setTimeout as delay } from 'node:timers/promises'
import type { Sql } from '../../store/driver/connect.js'
import type { Access } from './access.js'
import { eventually } from '../harness/eventually.js'
import type { Backups } from './backups.js'
import type { Instance } from '../harness/instance.js'
import type { Nginx } from '../harness/nginx.js'
import type { Postgres } from '../harness/postgres-pair.js'
import type { Proxy } from './proxy.js'
import type { Random } from '../harness/random.js'

/**
 * How long the service may take to report whether the database takes writes, in ms. The service needs half of
 * it; the rest is for a busy machine.
 */
const NOTICE_MS = 4000
/** How long a standby may take to catch up, and then to be promoted, in ms. */
const FOLLOW_MS = 20_000
/** How long the service may take to work normally again after a failover of the database, in ms. */
const MOVE_MS = 15_000

/** What the faults act on. */
export interface Target {
  instances: readonly Instance[]
  postgres: Postgres
  /** The run's own database connection, which no fault terminates. */
  sql: Sql
  nginx: Nginx | undefined
  /** An nginx that compresses every response. */
  compressor: Nginx | undefined
  proxies: readonly Proxy[]
  /** The token of some of the subscribers, which a fault revokes. */
  guest: Access
  backups: Backups
  /** Whether the primary may be killed while transactions commit, which leaves ids missing in the log. */
  leavesHoles: boolean
  problems: string[]
}

/** A kind of fault that a run can inject. */
export interface Fault {
  name: string
  /** Relative probability of the fault, once each kind has been injected. */
  weight: number
  /** The programs that this fault needs, if they are not installed on every machine. */
  needs?: 'nginx' | 'all programs of PostgreSQL'
  /** Injects the fault and repairs it. Adds each incorrect reaction of the service to `target.problems`. */
  run(target: Target, random: Random): Promise<unknown>
}

async function restartInstance(instance: Instance, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const code = await instance.end(signal)
  if (signal === 'SIGTERM' && code !== 0)
    throw new Error(`${instance.name} ended with ${String(code)}:\n${instance.log}`)
  await instance.start()
}

/** Waits until every instance reports this mode. Adds a problem for each that does not within `ms`. */
async function demandMode({ instances, problems }: Target, mode: string, ms: number): Promise<void> {
  const demand = async (instance: Instance) => {
    const until = performance.now() + ms
    for (;;) {
      const found = await instance.readMode()
      if (found === mode) return
      if (performance.now() > until)
        return problems.push(`${instance.name} is ${found}, and not ${mode} within ${ms} ms`)
      await delay(50)
    }
  }
  await Promise.all(instances.map(demand))
}

/** Terminates the connections named `silo`, all of them or those that listen, except the one of `sql`. */
export async function killBackends(sql: Sql, which: 'all' | 'listening'): Promise<void> {
  await sql`
    select pg_terminate_backend(pid)
      from pg_stat_activity
     where application_name = 'silo'
       and pid <> pg_backend_pid()
       and (${which === 'all'} or query ilike 'listen%')
  `
}

/** All kinds of faults. A run can select some of them by name. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'instance killed (SIGKILL)',
    weight: 4,
    run: ({ instances }, random) => restartInstance(random.pick(instances), 'SIGKILL'),
  },
  {
    name: 'instance ended (SIGTERM)',
    weight: 4,
    run: ({ instances }, random) => restartInstance(random.pick(instances), 'SIGTERM'),
  },
  { name: 'listening backends killed', weight: 4, run: ({ sql }) => killBackends(sql, 'listening') },
  { name: 'all backends killed', weight: 4, run: ({ sql }) => killBackends(sql, 'all') },
  { name: 'PostgreSQL restarted fast', weight: 2, run: ({ postgres }) => postgres.restart('fast') },
  { name: 'PostgreSQL restarted immediate', weight: 2, run: ({ postgres }) => postgres.restart('immediate') },
  {
    name: 'PostgreSQL frozen (SIGSTOP)',
    weight: 2,
    run: ({ postgres }, random) => postgres.freeze(random.between(500, 4000)),
  },
  {
    name: 'nginx reloaded',
    weight: 2,
    needs: 'nginx',
    run: async ({ nginx }) => nginx?.reload(),
  },
  { name: 'connections cut', weight: 6, run: async ({ proxies }, random) => random.pick(proxies).cut() },
  {
    name: 'connections black-holed',
    weight: 2,
    run: async ({ proxies }, random) => {
      const proxy = random.pick(proxies)
      proxy.swallow()
      await delay(random.between(500, 6000))
      proxy.heal()
    },
  },
  {
    name: 'access revoked and restored',
    weight: 2,
    run: async ({ guest, sql }, random) => {
      await guest.revoke(sql)
      await delay(random.between(500, 8000))
      await guest.restore(sql)
    },
  },
  {
    name: 'clock jumped',
    weight: 2,
    run: async ({ instances }, random) => random.pick(instances).jumpClock(),
  },
  {
    name: 'compressing proxy restarted',
    weight: 2,
    needs: 'nginx',
    run: async ({ compressor }) => compressor?.restart(),
  },
  {
    name: 'database made read-only',
    weight: 2,
    run: async (target, random) => {
      const { sql } = target
      await sql`alter database postgres set default_transaction_read_only = on`
      await killBackends(sql, 'all')
      await demandMode(target, 'read-only', NOTICE_MS)
      await delay(random.between(0, 1000))
      // The open connections are not terminated: the service must recover by itself.
      await sql`alter database postgres reset default_transaction_read_only`
      await demandMode(target, 'normal', NOTICE_MS)
    },
  },
  {
    name: 'backup restored',
    weight: 2,
    needs: 'all programs of PostgreSQL',
    run: async ({ backups }, random) => {
      // Restores an older dump, or one that is taken now.
      if (random.chance(0.5)) await backups.take()
      await delay(random.between(200, 2000))
      await backups.restore()
    },
  },
  {
    name: 'standby promoted',
    weight: 2,
    needs: 'all programs of PostgreSQL',
    run: async (target) => {
      const { postgres, sql, backups } = target
      await postgres.startStandby()
      // From here on nothing is acknowledged or visible that the standby does not have.
      await sql`alter system set synchronous_standby_names = '*'`
      await sql`select pg_reload_conf()`
      const hasEverything = async () => {
        const [row] = await sql<{ done: boolean }[]>`
          select sync_state = 'sync' and replay_lsn >= pg_current_wal_lsn() as done from pg_stat_replication
        `
        return row?.done
      }
      const whileMoving = { timeoutMs: FOLLOW_MS, retryErrors: true }
      await eventually('the standby has everything', hasEverything, whileMoving)
      // Waits for the transactions that have drawn an id, and keeps others from drawing one.
      if (!target.leavesHoles) await sql.unsafe('begin; lock table events in exclusive mode')
      await postgres.failOver((standby) => backups.inspectStandby(standby))
      const isPromoted = async () => {
        const [row] = await sql<{ done: boolean }[]>`select not pg_is_in_recovery() as done`
        return row?.done
      }
      await eventually('the standby is promoted', isPromoted, whileMoving)
      await demandMode(target, 'normal', MOVE_MS)
    },
  },
]

/**
 * Yields the faults of a run, without end: first each of them once in random order, then at random by their
 * weights. So a short run has as many kinds of faults as it has time for, and over all seeds each kind is
 * equally likely.
 */
export function* planFaults(
  random: Random,
  available: readonly Fault[],
): Generator<{ fault: Fault; afterMs: number }, never> {
  const afterMs = () => random.between(100, 1500)
  const first = [...available]
  while (first.length > 0) {
    const [fault] = first.splice(random.between(0, first.length), 1)
    if (fault) yield { fault, afterMs: afterMs() }
  }
  const total = available.reduce((sum, { weight }) => sum + weight, 0)
  for (;;) {
    let dice = random.next() * total
    const fault = available.find(({ weight }) => (dice -= weight) < 0)
    if (!fault) throw new RangeError('no fault to choose')
    yield { fault, afterMs: afterMs() }
  }
}

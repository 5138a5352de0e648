import { setTimeout as delay } from 'node:timers/promises'
import type { Sql } from '../store/connect.js'
import type { Access } from './access.js'
import type { Instance } from './instance.js'
import type { Nginx } from './nginx.js'
import type { Postgres } from './postgres.js'
import type { Proxy } from './proxy.js'
import type { Random } from './random.js'

/** What can be broken. */
export interface Target {
  instances: readonly Instance[]
  postgres: Postgres
  /** For questions to the database that no fault is meant for. */
  sql: Sql
  nginx: Nginx | undefined
  proxies: readonly Proxy[]
  /** What some of the watchers sign in with. */
  guest: Access
}

export interface Fault {
  name: string
  weight: number
  /** Breaks something and mends it again. */
  run(target: Target, random: Random): Promise<void>
}

async function restartInstance(instance: Instance, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const code = await instance.end(signal)
  if (signal === 'SIGTERM' && code !== 0)
    throw new Error(`${instance.name} ended with ${String(code)}:\n${instance.log}`)
  await instance.start()
}

/** Ends sessions of the service, all of them or those that listen. The one that asks lives. */
export async function killBackends(sql: Sql, which: 'all' | 'listening'): Promise<void> {
  await sql`
    select pg_terminate_backend(pid)
      from pg_stat_activity
     where application_name = 'silo'
       and pid <> pg_backend_pid()
       and (${which === 'all'} or query ilike 'listen%')
  `
}

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
]

/** The next fault of the plan, and how long to wait before it, in ms. */
export function nextFault(random: Random, available: readonly Fault[]): { fault: Fault; afterMs: number } {
  const total = available.reduce((sum, { weight }) => sum + weight, 0)
  let dice = random.next() * total
  const fault = available.find(({ weight }) => (dice -= weight) < 0)
  if (!fault) throw new RangeError('no fault to choose')
  return { fault, afterMs: random.between(100, 1500) }
}

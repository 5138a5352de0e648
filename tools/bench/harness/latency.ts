import { connect } from '../../../store/driver/connect.js'
import type { Database } from '../../harness/postgres.js'
import type { Figures, Metric } from './question.js'
import { quantile } from './statistics.js'

/**
 * Returns when each row of a table was committed, in ms, in order of id. `track_commit_timestamp` must be on.
 */
export async function commitTimes({ url }: Database, table: 'events' | 'bench_log'): Promise<number[]> {
  const sql = connect(url, 1)
  try {
    const rows = await sql<{ ms: number }[]>`
      select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as ms
        from ${sql(table)}
       order by id
    `
    return rows.map(({ ms }) => ms)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The metrics that `latencies` returns. */
export const QUANTILES: readonly Metric[] = ['p50', 'p99', 'p99.9'].map((name) => ({
  name,
  unit: 'ms',
  better: 'lower',
}))

/**
 * Sorts `from`, and returns quantiles of the times from each of its elements to the element of `to` at the
 * same index. Ignores the first `warmUp` of these times.
 */
export function latencies(from: readonly number[], to: readonly number[], warmUp: number): Figures {
  if (from.length !== to.length) throw new Error(`${from.length} began, ${to.length} ended`)
  const ordered = [...from].sort((a, b) => a - b)
  const values = to.map((time, index) => time - (ordered[index] ?? NaN)).slice(warmUp)
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), 'p99.9': quantile(values, 0.999) }
}

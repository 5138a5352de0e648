import type { Sql } from './driver/connect.js'

/** What the other instances have reported. */
export interface Others {
  instances: number
  /** The number of subscribers of all of them together. */
  watchers: number
}

/**
 * Reports the number of subscribers of this instance, deletes instances that have not reported for
 * `ttlSeconds`, and returns the totals of the others.
 */
export async function reportWatchers(
  sql: Sql,
  { id, watchers }: { id: string; watchers: number },
  ttlSeconds: number,
): Promise<Others> {
  const [others] = await sql<Others[]>`
    with own as (
      insert into instances (id, watchers, seen_at)
      values (${id}, ${watchers}, now())
      on conflict (id) do update set watchers = excluded.watchers, seen_at = excluded.seen_at
    ), gone as (
      delete from instances
       where id <> ${id}
         and seen_at < now() - make_interval(secs => ${ttlSeconds})
    )
    select count(*)::integer as instances, coalesce(sum(watchers), 0)::integer as watchers
      from instances
     where id <> ${id}
       and seen_at >= now() - make_interval(secs => ${ttlSeconds})
  `
  if (!others) throw new Error('a sum gave no row')
  return others
}

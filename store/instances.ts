import type { Sql } from './connect.js'

/** What the other instances have said of themselves. */
export interface Others {
  instances: number
  /** How many watch at all of them. */
  watchers: number
}

/** Says how many watch at this instance, and forgets instances that have not said so for `ttlSeconds`. */
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

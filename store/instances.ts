import type { Sql } from './connect.js'

/**
 * Says how many watch at this instance, and forgets instances that have not said so for `ttlSeconds`.
 * @returns how many watch at all the others
 */
export async function reportWatchers(
  sql: Sql,
  { id, watchers }: { id: string; watchers: number },
  ttlSeconds: number,
): Promise<number> {
  const [row] = await sql<{ others: number }[]>`
    with own as (
      insert into instances (id, watchers, seen_at)
      values (${id}, ${watchers}, now())
      on conflict (id) do update set watchers = excluded.watchers, seen_at = excluded.seen_at
    ), gone as (
      delete from instances
       where id <> ${id}
         and seen_at < now() - make_interval(secs => ${ttlSeconds})
    )
    select coalesce(sum(watchers), 0)::integer as others
      from instances
     where id <> ${id}
       and seen_at >= now() - make_interval(secs => ${ttlSeconds})
  `
  if (!row) throw new Error('a sum gave no row')
  return row.others
}

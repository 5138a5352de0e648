import postgres from 'postgres'
import type { Database } from '../../harness/postgres.js'

/** The size of a catalogue. */
export interface Size {
  items: number
  /** Revisions of each item, the first one included. */
  revisions: number
  events: number
}

/** The kinds of items of a catalogue. One item in five is of each kind. */
const KINDS = ['hex bolt', 'socket head cap screw', 'plain washer', 'dowel pin', 'deep groove ball bearing']
/** A word in the description of one item in five. */
export const COMMON = 'washer'
/** A word in the description of one item in a thousand, whatever the size. */
export const RARE = 'titanium'
/** A word in the description of ten items, whatever the size. */
export const PARTICULAR = 'inconel'

/** An SQL expression for the part number of the item `n`: `P-` and seven digits. */
const partNumber = `'P-' || lpad(n::text, 7, '0')`

/**
 * Returns a statement that writes `$1` events, one for each of the first `items` items in turn. The first
 * event is `$2` days old.
 */
export const insertUpdates = (items: number): string => `
  insert into events (type, part_number, data, at)
  select 'item.updated', part_number,
         format(
           '{"part_number":"%s","revision":2,"actor":"silo","at":"%sZ"}',
           part_number, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS')
         )::json, at
    from (
         select 'P-' || lpad((n % ${items})::text, 7, '0') as part_number,
                now() - $2 * interval '1 day' + n * interval '1 ms' as at
           from generate_series(1, $1::integer) n
         ) updates
`

/**
 * Fills a migrated, empty database of the benchmark. The triggers are off, so it also writes the rows that
 * they would have written. The indexes of the items are created afterwards. Timestamps lie in the last days,
 * in steps of a millisecond.
 */
export async function fillCatalogue(database: Database, { items, revisions, events }: Size): Promise<void> {
  const sql = postgres(database.superuserUrl, { max: 1, onnotice: () => undefined })
  try {
    await sql.unsafe(`
      set session_replication_role = replica;
      set synchronous_commit = off;
      set maintenance_work_mem = '1GB';
      set work_mem = '512MB';
      set max_parallel_maintenance_workers = 4;
    `)
    const indexes = await sql<{ name: string; definition: string }[]>`
      select indexname as name, indexdef as definition
        from pg_indexes
       where tablename = 'items'
         and indexname not in (select conname from pg_constraint)
    `
    for (const { name } of indexes) await sql`drop index ${sql(name)}`
    const kinds = `(array[${KINDS.map((kind) => `'${kind}'`).join(', ')}])[1 + n % ${KINDS.length}]`
    await sql.unsafe(`
      insert into items (id, part_number, description, properties, revision, created_at, updated_at)
      select md5(n::text)::uuid, ${partNumber},
             ${kinds} || ' M' || 3 + n % 20 || ' x ' || 8 + n % 90
               || case when n % 1000 = 7 then ', ${RARE}'
                       when n % 1000 = 4 and n < 10000 then ', ${PARTICULAR}'
                       else ', steel, zinc plated'
                  end,
             jsonb_build_object('standard', 'ISO ' || 4000 + n % 900, 'mass_g', n % 1000),
             ${revisions}, now() - interval '9 days' + n * interval '1 ms',
             now() - interval '1 hour' + n * interval '1 ms'
        from generate_series(0, ${items - 1}) n
    `)
    for (const { definition } of indexes) await sql.unsafe(definition)
    await sql.unsafe(`
      insert into past_revisions (item_id, revision_number, part_number, item_type, description,
                                  long_description, sourcing_type, properties, comment, created_at,
                                  created_by)
      select id, r, part_number, item_type, description, long_description, sourcing_type, properties, null,
             created_at, created_by
        from (select * from items order by id) i
       cross join generate_series(1, ${revisions - 1}) r
    `)
    await sql.unsafe(insertUpdates(items), [events, 6])
    await sql.unsafe('vacuum analyze items, past_revisions, events')
    await sql.unsafe('checkpoint')
  } finally {
    await sql.end({ timeout: 1 })
  }
}

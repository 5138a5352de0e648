import { checkOf } from '../../lib/check.js'
import type { Sql } from '../../store/driver/connect.js'

/** An event as the database committed it. */
export interface TruthEvent {
  id: number
  check: string
  type: string
  part_number: string
  data: Record<string, unknown>
}

/** A position in the log, with the check of the event at it. */
export interface Place {
  id: number
  check: string
}

/** A restore of a dump while the service was running. */
export interface Restore {
  /** The object id of the table `events` after the restore, which creates a new table. */
  relation: number
  /** The ids of the events in the dump. */
  ids: ReadonlySet<number>
}

/** The log between two restores, with every event that it ever held. */
export class LogVersion {
  readonly #byId: ReadonlyMap<number, TruthEvent>

  constructor(
    /** In the order of their ids. */
    readonly events: readonly TruthEvent[],
  ) {
    this.#byId = new Map(events.map((event) => [event.id, event]))
  }

  /** Returns the event at a position; undefined if this version has no event with this id and check. */
  find({ id, check }: Place): TruthEvent | undefined {
    const event = this.#byId.get(id)
    return event?.check === check ? event : undefined
  }

  /** Whether this version has the position. Every version has the position 0, the beginning. */
  has(place: Place): boolean {
    return place.id === 0 || this.find(place) !== undefined
  }
}

/** Everything that was ever committed. */
export interface Truth {
  /** Each event once, in the order in which the versions of the log followed each other. */
  committed: readonly TruthEvent[]
  versions: readonly LogVersion[]
}

/**
 * Makes the database copy every committed event into the schema `chaos`, which dumps leave out. So the events
 * that retention deletes and those that a restore undoes remain known.
 */
export async function keepTruth(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create schema chaos;
    create table chaos.truth (relation oid, id bigint, type text, part_number text, data text);
    create function chaos.keep() returns trigger language plpgsql as $$
    begin
      insert into chaos.truth values (tg_relid, new.id, new.type, new.part_number, new.data);
      return null;
    end $$;
    create trigger chaos_keep after insert on events for each row execute function chaos.keep();
  `)
}

/** Returns the object id of the current table `events`. */
export async function readRelation(sql: Sql): Promise<number> {
  const [row] = await sql<{ relation: number }[]>`select 'events'::regclass::oid::bigint as relation`
  if (!row) throw new Error('a select returned no row')
  return row.relation
}

/** Returns the newest id that was committed to the current table `events`; 0 if there is none. */
export async function readNewestId(sql: Sql): Promise<number> {
  const [newest] = await sql<{ id: number | null }[]>`
    select max(id) as id
      from chaos.truth
     where relation = 'events'::regclass
  `
  return newest?.id ?? 0
}

/**
 * Reads everything that was committed until now.
 * @param restores the restores until now, in order
 */
export async function readTruth(sql: Sql, restores: readonly Restore[]): Promise<Truth> {
  const rows = await sql<(Omit<TruthEvent, 'data' | 'check'> & { data: string; relation: number })[]>`
    select id, type, part_number, data, relation::bigint as relation
      from chaos.truth
     order by id
  `
  const known = new Set(restores.map(({ relation }) => relation))
  const written = (relation: number | undefined): TruthEvent[] =>
    rows
      .filter((row) => (known.has(row.relation) ? row.relation === relation : relation === undefined))
      .map(({ id, type, part_number, data }) => ({
        id,
        check: checkOf(id, data),
        type,
        part_number,
        data: JSON.parse(data) as Record<string, unknown>,
      }))
  const first = written(undefined)
  const versions = [new LogVersion(first)]
  const committed = [...first]
  for (const { relation, ids } of restores) {
    const oldest = Math.min(...ids)
    const kept = versions.at(-1)?.events.filter(({ id }) => id < oldest || ids.has(id)) ?? []
    const added = written(relation)
    versions.push(new LogVersion([...kept, ...added]))
    committed.push(...added)
  }
  return { committed, versions }
}

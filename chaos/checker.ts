import type { Sql } from '../store/connect.js'
import type { History, TruthEvent } from './history.js'
import { type Write, markOf } from './writers.js'

/** What the run found. Anything but zeros and an empty list of problems is a failure. */
export interface Verdict {
  events: number
  deliveries: number
  writes: Record<Write['outcome'], number>
  resets: number
  lost: number
  repeated: number
  outOfOrder: number
  problems: string[]
}

/** Keeps every event that is ever committed, also those that retention deletes from the log. */
export async function keepTruth(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create table chaos_truth (like events);
    create function chaos_keep() returns trigger language plpgsql as $$
    begin
      insert into chaos_truth values (new.*);
      return null;
    end $$;
    create trigger chaos_keep after insert on events for each row execute function chaos_keep();
  `)
}

export function readTruth(sql: Sql): Promise<TruthEvent[]> {
  return sql<TruthEvent[]>`select id, type, part_number, data from chaos_truth order by id`
}

/** Judges what every watcher saw and what every writer was told, by what the database knows. */
export async function judge(
  sql: Sql,
  histories: readonly History[],
  writes: readonly Write[],
): Promise<Verdict> {
  const truth = await readTruth(sql)
  const problems = [
    ...judgeIds(truth),
    ...judgeRevisions(truth),
    ...(await judgeItems(sql, truth)),
    ...judgeWrites(truth, writes),
    ...judgeOrder(truth, writes),
  ]
  let lost = 0
  for (const history of histories) {
    const missing = history.lost(truth)
    lost += missing.length
    if (missing.length > 0) {
      const some = missing.slice(0, 5).map(({ id, type }) => `${id} ${type}`)
      problems.push(`${history.name} lost ${missing.length} events: ${some.join(', ')}`)
    }
    const invented = history.invented(truth)
    if (invented > 0)
      problems.push(`${history.name} saw ${invented} events that are not in the log, or not for it`)
    if (history.repeated > 0) problems.push(`${history.name} saw ${history.repeated} events again`)
    if (history.outOfOrder > 0) problems.push(`${history.name} saw ${history.outOfOrder} events out of order`)
    problems.push(...history.problems.map((problem) => `${history.name}: ${problem}`))
  }
  const sum = (count: (history: History) => number) =>
    histories.reduce((total, each) => total + count(each), 0)
  const outcomes = { acknowledged: 0, refused: 0, unknown: 0 }
  for (const { outcome } of writes) outcomes[outcome]++
  return {
    events: truth.length,
    deliveries: sum(({ seen }) => seen.length),
    writes: outcomes,
    resets: sum(({ resets }) => resets),
    lost,
    repeated: sum(({ repeated }) => repeated),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
    problems,
  }
}

function judgeIds(truth: readonly TruthEvent[]): string[] {
  const distinct = new Set(truth.map(({ id }) => id)).size
  return distinct === truth.length ? [] : [`${truth.length - distinct} ids were used again`]
}

function judgeRevisions(truth: readonly TruthEvent[]): string[] {
  const last = new Map<string, number>()
  return truth.flatMap(({ id, type, part_number, data }) => {
    if (type !== 'revision.created') return []
    const expected = (last.get(part_number) ?? 1) + 1
    last.set(part_number, Number(data.revision_number))
    return data.revision_number === expected
      ? []
      : [`event ${id}: revision ${String(data.revision_number)} of ${part_number} where ${expected} was due`]
  })
}

/** The log must explain the items: each was created once, and stands at the last revision that the log tells of. */
async function judgeItems(sql: Sql, truth: readonly TruthEvent[]): Promise<string[]> {
  const items = await sql<{ part_number: string; revision: number; archived: boolean }[]>`
    select part_number, revision, archived_at is not null as archived from items
  `
  const told = new Map<string, { created: number; revision: number; deleted: number }>()
  for (const { type, part_number, data } of truth) {
    const item = told.get(part_number) ?? { created: 0, revision: 1, deleted: 0 }
    if (type === 'item.created') item.created++
    if (type === 'item.deleted') item.deleted++
    if (type === 'revision.created') item.revision = Number(data.revision_number)
    told.set(part_number, item)
  }
  return items.flatMap(({ part_number, revision, archived }) => {
    const item = told.get(part_number)
    const right = item?.created === 1 && item.revision === revision && item.deleted === Number(archived)
    return right
      ? []
      : [`the log does not explain ${part_number} at revision ${revision}: ${JSON.stringify(item)}`]
  })
}

function judgeWrites(truth: readonly TruthEvent[], writes: readonly Write[]): string[] {
  const found = new Map<string, number>()
  for (const event of truth) {
    const mark = markOf(event)
    if (mark !== undefined) found.set(mark, (found.get(mark) ?? 0) + 1)
  }
  const allowed = { acknowledged: [1], refused: [0], unknown: [0, 1] }
  return writes.flatMap(({ outcome, marks }) =>
    marks
      .filter((mark) => !allowed[outcome].includes(found.get(mark) ?? 0))
      .map((mark) => `"${mark}" was ${outcome} and is in the log ${found.get(mark) ?? 0} times`),
  )
}

/** What was acknowledged before something else began comes before it, whoever wrote either. */
function judgeOrder(truth: readonly TruthEvent[], writes: readonly Write[]): string[] {
  const idOf = new Map<string, number>()
  for (const event of truth) {
    const mark = markOf(event)
    if (mark !== undefined) idOf.set(mark, event.id)
  }
  const placed = writes
    .filter(({ outcome }) => outcome === 'acknowledged')
    .map(({ began, ended, marks }) => ({
      began,
      ended,
      ids: marks.map((mark) => idOf.get(mark) ?? NaN),
      marks,
    }))
  const byEnd = [...placed].sort((a, b) => a.ended - b.ended)
  const byBegin = [...placed].sort((a, b) => a.began - b.began)
  const problems: string[] = []
  let highest = 0
  let next = 0
  for (const write of byBegin) {
    for (; (byEnd[next]?.ended ?? Infinity) < write.began; next++) {
      highest = Math.max(highest, ...(byEnd[next]?.ids ?? []))
    }
    if (Math.min(...write.ids) < highest) problems.push(`${write.marks.join()} comes before what preceded it`)
  }
  return problems
}

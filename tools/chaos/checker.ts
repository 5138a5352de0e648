import type { Sql } from '../../store/driver/connect.js'
import type { History } from './history.js'
import type { Truth, TruthEvent } from './truth.js'
import { type Write, markOf } from './writers.js'

/** The result of a run. It passes if nothing is lost, repeated or out of order and there are no problems. */
export interface Verdict {
  events: number
  deliveries: number
  writes: Record<Write['outcome'], number>
  resets: number
  lost: number
  repeated: number
  outOfOrder: number
  kinds: Record<string, KindFigures>
  problems: string[]
}

/** Totals over all clients of one kind. */
export interface KindFigures {
  clients: number
  deliveries: number
  resets: number
  lost: number
  repeated: number
  outOfOrder: number
}

/**
 * Compares what the clients have received with what was committed. It can be called during a run: a problem
 * that it finds stays one, whatever is committed later.
 */
export function judgeHistories(
  truth: Truth,
  histories: readonly History[],
  leftEpochs: ReadonlySet<string>,
): { problems: string[]; kinds: Record<string, KindFigures> } {
  const problems: string[] = []
  const kinds: Record<string, KindFigures> = {}
  for (const history of histories) {
    const { lost, problems: found } = history.judge(truth, leftEpochs)
    const report = (problem: string) => problems.push(`${history.name}: ${problem}`)
    if (lost.length > 0) {
      const some = lost.slice(0, 5).map(({ id, type }) => `${id} ${type}`)
      report(`missed ${lost.length} events: ${some.join(', ')}`)
    }
    if (history.repeated > 0) report(`received ${history.repeated} events twice`)
    if (history.outOfOrder > 0) report(`received ${history.outOfOrder} events out of order`)
    for (const problem of [...found, ...history.problems]) report(problem)
    const none = { clients: 0, deliveries: 0, resets: 0, lost: 0, repeated: 0, outOfOrder: 0 }
    const figures = (kinds[history.kind] ??= none)
    figures.clients++
    figures.deliveries += history.deliveries
    figures.resets += history.resets
    figures.lost += lost.length
    figures.repeated += history.repeated
    figures.outOfOrder += history.outOfOrder
  }
  return { problems, kinds }
}

/**
 * Compares what every client has received, and the outcome of every write, with the content of the database.
 */
export async function judge(
  sql: Sql,
  truth: Truth,
  histories: readonly History[],
  writes: readonly Write[],
  leftEpochs: ReadonlySet<string>,
): Promise<Verdict> {
  const { committed, versions } = truth
  const seen = judgeHistories(truth, histories, leftEpochs)
  const problems = [
    ...versions.flatMap(({ events }) => [...judgeIds(events), ...judgeRevisions(events)]),
    ...(await judgeItems(sql, versions.at(-1)?.events ?? [])),
    ...judgeWrites(committed, writes),
    ...judgeOrder(committed, writes),
    ...seen.problems,
  ]
  const kinds = Object.values(seen.kinds)
  const sum = (figure: keyof KindFigures) => kinds.reduce((total, figures) => total + figures[figure], 0)
  const outcomes = { acknowledged: 0, refused: 0, unknown: 0 }
  for (const { outcome } of writes) outcomes[outcome]++
  return {
    events: committed.length,
    deliveries: sum('deliveries'),
    writes: outcomes,
    resets: sum('resets'),
    lost: sum('lost'),
    repeated: sum('repeated'),
    outOfOrder: sum('outOfOrder'),
    kinds: seen.kinds,
    problems,
  }
}

function judgeIds(truth: readonly TruthEvent[]): string[] {
  const distinct = new Set(truth.map(({ id }) => id)).size
  return distinct === truth.length ? [] : [`${truth.length - distinct} ids were reused`]
}

function judgeRevisions(truth: readonly TruthEvent[]): string[] {
  const last = new Map<string, number>()
  return truth.flatMap(({ id, type, part_number, data }) => {
    if (type !== 'revision.created') return []
    const expected = (last.get(part_number) ?? 1) + 1
    last.set(part_number, Number(data.revision_number))
    return data.revision_number === expected
      ? []
      : [`event ${id}: revision ${String(data.revision_number)} of ${part_number}, expected ${expected}`]
  })
}

/**
 * Checks that the log explains the items: each was created once, has the last revision that is in the log,
 * and is archived if the log says so.
 */
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

/** Checks that each write is in the log as often as its outcome allows: once, never, or either if unknown. */
export function judgeWrites(truth: readonly TruthEvent[], writes: readonly Write[]): string[] {
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

/** Checks that a write comes after all writes, of any writer, that were acknowledged before it began. */
function judgeOrder(truth: readonly TruthEvent[], writes: readonly Write[]): string[] {
  // The order is that of `truth` and not of the ids: a restore sets the ids back.
  const rankOf = new Map<string, number>()
  for (const [rank, event] of truth.entries()) {
    const mark = markOf(event)
    if (mark !== undefined) rankOf.set(mark, rank)
  }
  const placed = writes
    .filter(({ outcome }) => outcome === 'acknowledged')
    .map(({ began, ended, marks }) => ({
      began,
      ended,
      ranks: marks.map((mark) => rankOf.get(mark) ?? NaN),
      marks,
    }))
  const byEnd = [...placed].sort((a, b) => a.ended - b.ended)
  const byBegin = [...placed].sort((a, b) => a.began - b.began)
  const problems: string[] = []
  let highest = 0
  let next = 0
  for (const write of byBegin) {
    for (; (byEnd[next]?.ended ?? Infinity) < write.began; next++) {
      highest = Math.max(highest, ...(byEnd[next]?.ranks ?? []))
    }
    if (Math.min(...write.ranks) < highest)
      problems.push(`${write.marks.join()} precedes an event that was committed before it`)
  }
  return problems
}

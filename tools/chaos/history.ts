import type { LogVersion, Place, Truth, TruthEvent } from './truth.js'

/** An event as a client received it. */
export interface Seen {
  id: string
  type: string
  data: Record<string, unknown>
}

interface Cursor extends Place {
  epoch: string
}

const parse = (cursor: string): Cursor => {
  const [epoch = '', id = '', check = ''] = cursor.split('-')
  return { epoch, id: Number(id), check }
}

/** What a client received without a `reset` in between. */
interface Segment {
  begin: Cursor
  end: Cursor
  /** The `reset` that the segment begins with, if it begins with one. */
  reset?: { reason: string; oldest: number }
  /**
   * The ids of the log events, in ascending order. Plain numbers, because a long run has millions of events.
   */
  ids: number[]
  /** The check of the event at the same index of `ids`, as a number. */
  checks: number[]
}

const numberOf = (check: string): number => parseInt(check, 16)
const checkOf = (number: number | undefined): string => (number ?? NaN).toString(16).padStart(8, '0')

/** The differences between what one client received and what was committed. */
export interface Findings {
  lost: TruthEvent[]
  problems: string[]
}

/** Everything that one client received, over all its connections. */
export class History {
  readonly problems: string[] = []
  repeated = 0
  outOfOrder = 0
  /** The cursor to reconnect with. */
  cursor: string | undefined
  readonly #segments: Segment[] = []

  constructor(
    readonly name: string,
    /** The kind of the client. The report has totals for each kind. */
    readonly kind: string,
    readonly wants: (event: TruthEvent) => boolean,
  ) {}

  /** The last position of the client; its id is -1 before the first one. */
  get position(): Place {
    return this.#segments.at(-1)?.end ?? { id: -1, check: '' }
  }

  /** How many resets the client received. */
  get resets(): number {
    return this.#segments.filter(({ reset }) => reset).length
  }

  /** How many log events the client received. */
  get deliveries(): number {
    return this.#segments.reduce((sum, { ids }) => sum + ids.length, 0)
  }

  /** Records an event as it was received. */
  saw({ id: cursor, type, data }: Seen): void {
    const at = parse(cursor)
    if (!Number.isInteger(at.id)) return void this.problems.push(`${type} with the id "${cursor}"`)
    this.cursor = cursor
    if (type === 'reset') return this.#reset(at, String(data.reason), String(data.oldest))
    const segment = this.#segmentAt(at)
    if (/^(item|revision)\./.test(type)) this.#event(segment, at)
    else if (at.id < segment.end.id)
      this.problems.push(`${type} went back from ${segment.end.id} to ${at.id}`)
    if (at.id >= segment.end.id) segment.end = at
  }

  /** Records a position that was received without an event: the end of a page. */
  moved(cursor: string): void {
    const at = parse(cursor)
    const segment = this.#segmentAt(at)
    if (at.id < segment.end.id) this.problems.push(`a page went back from ${segment.end.id} to ${at.id}`)
    else segment.end = at
    this.cursor = cursor
  }

  /** Returns the segment that this position continues. The first position begins the first segment. */
  #segmentAt(at: Cursor): Segment {
    let segment = this.#segments.at(-1)
    if (!segment) {
      segment = { begin: at, end: at, ids: [], checks: [] }
      this.#segments.push(segment)
    }
    if (at.epoch !== segment.begin.epoch)
      this.problems.push(`the epoch changed to ${at.epoch} without a reset`)
    return segment
  }

  #event({ ids, checks, end }: Segment, { id, check }: Cursor): void {
    if (id > end.id) {
      ids.push(id)
      checks.push(numberOf(check))
    } else if (ids.includes(id)) this.repeated++
    else this.outOfOrder++
  }

  #reset(at: Cursor, reason: string, oldest: string): void {
    this.#segments.push({
      begin: at,
      end: at,
      reset: { reason, oldest: parse(oldest).id },
      ids: [],
      checks: [],
    })
  }

  /**
   * Compares what was received with what was committed.
   * @param leftEpochs the epochs that the log may have left in the run
   */
  judge({ versions }: Truth, leftEpochs: ReadonlySet<string>): Findings {
    const findings: Findings = { lost: [], problems: [] }
    const seen = new Map<number, number[]>()
    let previous: Segment | undefined
    let least = 0
    for (const segment of this.#segments) {
      if (previous) this.#judgeReset(previous, segment, versions, leftEpochs, findings)
      least = this.#judgeSegment(segment, versions, least, findings)
      segment.ids.forEach((id, i) => {
        const check = segment.checks[i] ?? NaN
        const before = seen.get(id) ?? []
        // An instance that was behind before a restore resets its clients to its own head. Events of the
        // backup beyond that head are then delivered again, which is harmless.
        if (before.includes(check) && segment.reset?.reason !== 'unknown')
          findings.problems.push(`event ${id} was received again after a reset`)
        seen.set(id, [...before, check])
      })
      previous = segment
    }
    return findings
  }

  /**
   * Compares a segment with the version of the log that it fits best.
   * @param least the index of the earliest version that it can end in
   * @returns the index of the version that it ends in
   */
  #judgeSegment(
    segment: Segment,
    versions: readonly LogVersion[],
    least: number,
    findings: Findings,
  ): number {
    const { begin, end, ids, checks } = segment
    const seen = new Map(ids.map((id, i) => [id, checks[i]]))
    const lostOf = (version: LogVersion) =>
      version.events.filter(
        (event) =>
          event.id > begin.id &&
          event.id <= end.id &&
          this.wants(event) &&
          seen.get(event.id) !== numberOf(event.check),
      )
    // A position can exist in several versions, since a restore leaves older events in the log. The segment
    // is of the version from which it lacks the fewest events.
    const fitting = versions
      .map((version, index) => ({ version, index }))
      .filter(({ version, index }) => index >= least && version.has(end))
      .map(({ version, index }) => ({ index, lost: lostOf(version) }))
      .sort((a, b) => a.lost.length - b.lost.length)
    const [best] = fitting
    if (!best) {
      findings.problems.push(
        `ended at ${end.id} with the check ${end.check}, which is in no version of the log`,
      )
      return least
    }
    findings.lost.push(...best.lost)
    const known = versions.slice(0, best.index + 1)
    const invented = ids.filter((id, i) => {
      const place = { id, check: checkOf(checks[i]) }
      const event = known.map((version) => version.find(place)).find((found) => found)
      return !event || !this.wants(event)
    })
    if (invented.length > 0) {
      const some = invented.slice(0, 5).join(', ')
      findings.problems.push(
        `received ${invented.length} events that are not in the log, or that its filter excludes: ${some}`,
      )
    }
    return best.index
  }

  #judgeReset(
    { end, begin: before }: Segment,
    { begin, reset }: Segment,
    versions: readonly LogVersion[],
    leftEpochs: ReadonlySet<string>,
    { problems }: Findings,
  ): void {
    if (!reset) return
    const isExpired = end.id < reset.oldest
    // A restore has undone the old position if a version has the new position but not the old one.
    const isUndone = versions.some((version) => version.has(begin) && !version.has(end))
    const isOtherEpoch = before.epoch !== begin.epoch
    if (isOtherEpoch && !leftEpochs.has(before.epoch))
      problems.push(`the epoch changed from ${before.epoch} to ${begin.epoch} unnecessarily`)
    if (!isExpired && !isUndone && !isOtherEpoch) {
      problems.push(
        `a reset (${reset.reason}) unnecessarily: at ${end.id}, the log begins at ${reset.oldest}`,
      )
    }
  }
}

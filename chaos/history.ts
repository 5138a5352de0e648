/** What a watcher saw, judged as it comes in; `finish` says what the database knows it should have seen. */
export interface TruthEvent {
  id: number
  type: string
  part_number: string
  data: Record<string, unknown>
}

export interface Seen {
  id: string
  type: string
  data: Record<string, unknown>
}

const ids = (cursor: string): [epoch: string, id: number] => {
  const [epoch = '', id = ''] = cursor.split('-')
  return [epoch, Number(id)]
}

/** The whole life of one watcher over all its connections. */
export class History {
  /** Ids of the log's events, ascending: what came otherwise is counted below. A list, because an hour has millions. */
  readonly seen: number[] = []
  readonly problems: string[] = []
  repeated = 0
  outOfOrder = 0
  resets = 0
  /** The cursor to come back with. */
  cursor: string | undefined
  #epoch: string | undefined
  #position = -1
  #begin: number | undefined
  /** What resets have openly skipped: ids above the first and up to the second. */
  readonly #skipped: [number, number][] = []

  constructor(
    readonly name: string,
    readonly wants: (event: TruthEvent) => boolean,
  ) {}

  get position(): number {
    return this.#position
  }

  /** One event as it came off the wire. */
  saw({ id: cursor, type, data }: Seen): void {
    const [epoch, id] = ids(cursor)
    if (!Number.isInteger(id)) return void this.problems.push(`${type} with the id "${cursor}"`)
    this.#epoch ??= epoch
    this.#begin ??= id
    if (epoch !== this.#epoch) this.problems.push(`the epoch changed to ${epoch}`)
    if (type === 'reset') this.#reset(id, String(data.oldest))
    else if (/^(item|revision)\./.test(type)) this.#event(id)
    else if (id < this.#position) this.problems.push(`${type} went back from ${this.#position} to ${id}`)
    this.#position = Math.max(this.#position, id)
    this.cursor = cursor
  }

  /** A position that came without an event: where a page ends. */
  moved(cursor: string): void {
    const [, id] = ids(cursor)
    if (id < this.#position) this.problems.push(`a page went back from ${this.#position} to ${id}`)
    this.#begin ??= id
    this.#position = Math.max(this.#position, id)
    this.cursor = cursor
  }

  #event(id: number): void {
    if (id > this.#position) this.seen.push(id)
    else if (this.seen.includes(id)) this.repeated++
    else this.outOfOrder++
  }

  #reset(head: number, oldest: string): void {
    this.resets++
    const [, oldestId] = ids(oldest)
    if (this.#position >= oldestId) {
      this.problems.push(`a reset that was not due: at ${this.#position}, kept from ${oldestId}`)
    }
    this.#skipped.push([this.#position, head])
  }

  /** The events of the truth, up to where this watcher says it stands, that it should have seen and did not. */
  lost(truth: readonly TruthEvent[]): TruthEvent[] {
    const begin = this.#begin ?? Infinity
    const seen = new Set(this.seen)
    return truth.filter(
      (event) =>
        event.id > begin &&
        event.id <= this.#position &&
        this.wants(event) &&
        !seen.has(event.id) &&
        !this.#skipped.some(([from, to]) => event.id > from && event.id <= to),
    )
  }

  /** What it saw and was not in the log, or was not for it. */
  invented(truth: readonly TruthEvent[]): number {
    const allowed = new Set(truth.filter((event) => this.wants(event)).map(({ id }) => id))
    return this.seen.filter((id) => !allowed.has(id)).length
  }
}

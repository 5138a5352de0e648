/**
 * The filter that a client requests. Without types it matches every type, without part numbers every item.
 */
export interface FilterRequest {
  types?: readonly string[] | undefined
  /** Part numbers, or prefixes that end in `*`; not case-sensitive. */
  partNumbers?: readonly string[] | undefined
}

/** The fields of an event that a filter reads. */
export interface Filterable {
  type: string
  /** In lower case. */
  partNumber: string
}

/** Summary of a block's events, by which a filter can accept or reject the whole block. */
export class Outline {
  private constructor(
    readonly count: number,
    readonly types: ReadonlySet<string>,
    /** The first of the events' part numbers, in the order of `<`. */
    readonly least: string,
    /** The last of the events' part numbers. */
    readonly greatest: string,
  ) {}

  static of(events: readonly Filterable[]): Outline {
    let [least, greatest] = [events[0]?.partNumber ?? '', '']
    for (const { partNumber } of events) {
      if (partNumber < least) least = partNumber
      if (partNumber > greatest) greatest = partNumber
    }
    return new Outline(events.length, new Set(events.map(({ type }) => type)), least, greatest)
  }
}

/** Decides which events a connection receives. Filters with the same `key` match the same events. */
export class Filter {
  static readonly everything = new Filter({})

  readonly key: string
  readonly #types: Set<string> | undefined
  readonly #exact: Set<string> | undefined
  readonly #prefixes: string[]

  constructor({ types, partNumbers }: FilterRequest) {
    const numbers = partNumbers?.map((number) => number.toLowerCase())
    this.#types = types && new Set(types)
    this.#exact = numbers && new Set(numbers.filter((number) => !number.endsWith('*')))
    this.#prefixes = (numbers ?? []).filter((n) => n.endsWith('*')).map((n) => n.slice(0, -1))
    const sorted = (values: Iterable<string> | undefined) => (values ? [...values].sort().join(',') : '*')
    this.key = `${sorted(this.#types)} ${sorted(numbers && new Set(numbers))}`
  }

  matches({ type, partNumber }: Filterable): boolean {
    if (this.#types && !this.#types.has(type)) return false
    if (!this.#exact) return true
    return this.#exact.has(partNumber) || this.#prefixes.some((prefix) => partNumber.startsWith(prefix))
  }

  /**
   * Returns how many of a block's events the filter matches. `some` also means that its outline can't decide.
   */
  sees({ types, least, greatest }: Outline): 'all' | 'none' | 'some' {
    const known = this.#types && [...types].filter((type) => this.#types?.has(type)).length
    if (known === 0) return 'none'
    const isEveryType = known === undefined || known === types.size
    if (!this.#exact) return isEveryType ? 'all' : 'some'
    // Every part number between two with the same prefix has that prefix, too.
    const isEveryNumber =
      this.#prefixes.some((prefix) => least.startsWith(prefix) && greatest.startsWith(prefix)) ||
      (least === greatest && this.#exact.has(least))
    if (isEveryNumber) return isEveryType ? 'all' : 'some'
    const isWithin = (number: string) => least <= number && number <= greatest
    const maySee =
      [...this.#exact].some(isWithin) ||
      this.#prefixes.some((prefix) => isWithin(prefix) || least.startsWith(prefix))
    return maySee ? 'some' : 'none'
  }
}

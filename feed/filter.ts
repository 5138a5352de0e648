/** What a client asked to see. Without types, every type; without part numbers, every item. */
export interface FilterRequest {
  types?: readonly string[] | undefined
  /** Part numbers, or beginnings of them when they end in `*`; without regard to case. */
  partNumbers?: readonly string[] | undefined
}

/** The part of an event that a filter looks at; `partNumber` is in lower case. */
export interface Filterable {
  type: string
  partNumber: string
}

/** Decides which events a connection sees. Filters with the same `key` see the same. */
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
}

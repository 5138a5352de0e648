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
}

/**
 * Number of rows above and below the visible ones that are also in the document, so that they can be reached
 * with the Tab key.
 */
const MARGIN = 8

/** What a list shows. */
export interface ListSource<Entry> {
  /** Returns the number of entries. */
  count: () => number
  /** Returns the entry at an index; undefined if there is none. */
  at: (index: number) => Entry | undefined
  /** Creates the element of an entry. */
  makeRow: (entry: Entry) => HTMLElement
}

/**
 * A list of any length that scrolls with the page: only the rows near the visible part are in the document.
 * All rows must have the same height, which is measured.
 */
export class VirtualList<Entry extends object> {
  readonly #list: HTMLElement
  readonly #source: ListSource<Entry>
  readonly #rows = new Map<Entry, HTMLElement>()
  #height = 0
  #scheduled = false

  constructor(list: HTMLElement, source: ListSource<Entry>) {
    this.#list = list
    this.#source = source
    const draw = () => this.draw()
    addEventListener('scroll', () => this.#schedule(draw), { passive: true })
    addEventListener('resize', () => this.#schedule(() => this.#resized()))
    document.addEventListener('visibilitychange', draw)
  }

  #schedule(act: () => void): void {
    if (this.#scheduled) return
    this.#scheduled = true
    requestAnimationFrame(() => {
      this.#scheduled = false
      act()
    })
  }

  #resized(): void {
    this.#height = 0
    this.draw()
  }

  /** Whether the entry has a row in the document: it is visible, or within MARGIN of it. */
  shows(entry: Entry): boolean {
    return this.#rows.has(entry)
  }

  /** Creates the entry's row again, after a change of the entry. */
  renew(entry: Entry): void {
    const row = this.#rows.get(entry)
    if (!row) return
    const focused = row.contains(document.activeElement)
    const fresh = this.#makeRow(entry)
    row.replaceWith(fresh)
    this.#place(fresh, Number(row.dataset.index))
    if (focused) fresh.querySelector('a')?.focus({ preventScroll: true })
  }

  /** Removes all rows. */
  clear(): void {
    for (const row of this.#rows.values()) row.remove()
    this.#rows.clear()
  }

  /**
   * Updates the document.
   * @param added number of new entries at the top; if the user has scrolled down, the scroll position is
   * moved by their height
   */
  draw(added = 0): void {
    const count = this.#source.count()
    this.#measure()
    for (const row of this.#rows.values()) row.dataset.index = String(Number(row.dataset.index) + added)
    this.#list.style.height = `${count * this.#height}px`
    if (added > 0 && this.isLeft) scrollBy(0, added * this.#height)
    // A hidden page is drawn when it becomes visible.
    if (document.visibilityState === 'hidden') return

    const wanted = this.#choose(count)
    for (const [entry, row] of this.#rows) {
      if (wanted.has(entry)) continue
      row.remove()
      this.#rows.delete(entry)
    }
    let next = this.#list.firstElementChild
    for (const [entry, index] of wanted) {
      const row = this.#rows.get(entry) ?? this.#makeRow(entry)
      if (row === next) next = row.nextElementSibling
      else this.#list.insertBefore(row, next)
      this.#place(row, index)
      row.setAttribute('aria-setsize', String(count))
    }
  }

  /** Whether the top of the list is above the visible part of the page. */
  get isLeft(): boolean {
    return this.#list.getBoundingClientRect().top < 0
  }

  /**
   * Returns the entries that need a row, with their indexes, in order: those near the visible part, and the
   * one with the focus.
   */
  #choose(count: number): Map<Entry, number> {
    const { top } = this.#list.getBoundingClientRect()
    const first = Math.max(0, Math.floor(-top / this.#height) - MARGIN)
    const end = Math.min(count, Math.ceil((innerHeight - top) / this.#height) + MARGIN)
    const indices = Array.from({ length: Math.max(0, end - first) }, (_, row) => first + row)
    const focused = Number(document.activeElement?.closest<HTMLElement>('[data-index]')?.dataset.index ?? end)
    if (focused < first) indices.unshift(focused)
    else if (focused > end && focused < count) indices.push(focused)
    return new Map(
      indices.flatMap((index) => {
        const entry = this.#source.at(index)
        return entry ? [[entry, index] as const] : []
      }),
    )
  }

  /** Measures the height of a row, with one that is removed again. */
  #measure(): void {
    const first = this.#source.at(0)
    if (this.#height > 0 || !first) return
    const probe = this.#source.makeRow(first)
    this.#list.append(probe)
    this.#height = probe.getBoundingClientRect().height
    probe.remove()
  }

  #makeRow(entry: Entry): HTMLElement {
    const row = this.#source.makeRow(entry)
    this.#rows.set(entry, row)
    return row
  }

  #place(row: HTMLElement, index: number): void {
    row.dataset.index = String(index)
    row.style.transform = `translateY(${index * this.#height}px)`
    row.setAttribute('aria-posinset', String(index + 1))
  }
}

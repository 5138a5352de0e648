/** Rows above and below the visible ones that are in the document too, so that the next one can be tabbed to. */
const MARGIN = 8

/**
 * A list of any length in the scroll of the page: only rows that can be seen are in the document. All rows are equally high,
 * as high as the style sheet makes them.
 *
 * - `count()` and `at(index)` say what there is, `makeRow(entry)` makes an element of it.
 */
export class VirtualList {
  #list
  #source
  #rows = new Map()
  #height = 0
  #scheduled = false

  constructor(list, source) {
    this.#list = list
    this.#source = source
    const draw = () => this.draw()
    addEventListener('scroll', () => this.#schedule(draw), { passive: true })
    addEventListener('resize', () => this.#schedule(() => this.#resized()))
    document.addEventListener('visibilitychange', draw)
  }

  #schedule(act) {
    if (this.#scheduled) return
    this.#scheduled = true
    requestAnimationFrame(() => {
      this.#scheduled = false
      act()
    })
  }

  #resized() {
    this.#height = 0
    this.draw()
  }

  /** Whether the entry can be seen, or nearly. */
  shows(entry) {
    return this.#rows.has(entry)
  }

  /** Makes the entry's row anew. */
  renew(entry) {
    const row = this.#rows.get(entry)
    if (!row) return
    const focused = row.contains(document.activeElement)
    const fresh = this.#makeRow(entry)
    row.replaceWith(fresh)
    this.#place(fresh, Number(row.dataset.index))
    if (focused) fresh.querySelector('a')?.focus({ preventScroll: true })
  }

  /** Forgets every row. */
  clear() {
    for (const row of this.#rows.values()) row.remove()
    this.#rows.clear()
  }

  /** Brings the document up to date. `added` entries are new at the top: whoever reads further down keeps their place. */
  draw(added = 0) {
    const count = this.#source.count()
    this.#measure()
    for (const row of this.#rows.values()) row.dataset.index = Number(row.dataset.index) + added
    this.#list.style.height = `${count * this.#height}px`
    if (added > 0 && this.isLeft) scrollBy(0, added * this.#height)
    // What nobody sees is drawn when somebody looks.
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
      row.setAttribute('aria-setsize', count)
    }
  }

  /** Whether the newest entry is above what can be seen. */
  get isLeft() {
    return this.#list.getBoundingClientRect().top < 0
  }

  /** What should be in the document, by its index, in order: what can be seen, and the row that has the focus. */
  #choose(count) {
    const { top } = this.#list.getBoundingClientRect()
    const first = Math.max(0, Math.floor(-top / this.#height) - MARGIN)
    const end = Math.min(count, Math.ceil((innerHeight - top) / this.#height) + MARGIN)
    const indices = Array.from({ length: Math.max(0, end - first) }, (_, row) => first + row)
    const focused = Number(document.activeElement?.closest('[data-index]')?.dataset.index ?? end)
    if (focused < first) indices.unshift(focused)
    else if (focused > end && focused < count) indices.push(focused)
    return new Map(indices.map((index) => [this.#source.at(index), index]))
  }

  #measure() {
    if (this.#height > 0 || this.#source.count() === 0) return
    const probe = this.#source.makeRow(this.#source.at(0))
    this.#list.append(probe)
    this.#height = probe.getBoundingClientRect().height
    probe.remove()
  }

  #makeRow(entry) {
    const row = this.#source.makeRow(entry)
    this.#rows.set(entry, row)
    return row
  }

  #place(row, index) {
    row.dataset.index = index
    row.style.transform = `translateY(${index * this.#height}px)`
    row.setAttribute('aria-posinset', index + 1)
  }
}

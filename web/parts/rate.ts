import { findIn } from './dom.js'

/** Resolution of the counts, in ms. */
const SLOT_MS = 10_000
const SLOTS_A_MINUTE = 6
/** Period that is drawn, in minutes. */
const MINUTES = 30
const POINTS = MINUTES * SLOTS_A_MINUTE
const SIZE = { width: 120, height: 24, margin: 2 }

/** Counts events by time, and draws their rate per minute. */
export class Rate {
  readonly #slots = new Map<number, number>()
  #since = Date.now()
  readonly #line: Element
  readonly #figure: HTMLElement
  readonly #drawing: SVGElement

  /**
   * @param drawing an SVG element with a `polyline`; its points and its label are set
   * @param figure the element that shows the rate of the last minute
   */
  constructor(drawing: SVGElement, figure: HTMLElement) {
    this.#drawing = drawing
    this.#figure = figure
    this.#line = findIn(drawing, 'polyline', SVGPolylineElement)
    setInterval(() => this.draw(), SLOT_MS / 2)
  }

  /** Removes all counts. `since` is the time after which no event is missing from the new counts, in ms. */
  reset(since: number): void {
    this.#slots.clear()
    this.#since = Math.min(since, Date.now())
  }

  count(at: Date): void {
    const slot = Math.floor(Math.min(at.getTime(), Date.now()) / SLOT_MS)
    this.#slots.set(slot, (this.#slots.get(slot) ?? 0) + 1)
  }

  draw(): void {
    const now = Math.floor(Date.now() / SLOT_MS)
    for (const slot of this.#slots.keys()) if (slot <= now - POINTS - SLOTS_A_MINUTE) this.#slots.delete(slot)
    const rates = Array.from({ length: POINTS }, (_, index) => this.#minuteUpTo(now - POINTS + 1 + index))
    // Nothing is drawn for the time before `#since`, for which events may be missing.
    const known = Math.ceil((now * SLOT_MS - this.#since) / SLOT_MS) + 1
    const shown = rates.slice(-Math.max(2, known))
    this.#line.setAttribute('points', pointsOf(shown))
    const latest = rates.at(-1) ?? 0
    this.#figure.textContent = `${latest} ${latest === 1 ? 'event' : 'events'} per minute`
    this.#drawing.setAttribute(
      'aria-label',
      `${latest} events in the last minute, peak of ${Math.max(...shown)} in the last ${MINUTES} minutes`,
    )
  }

  #minuteUpTo(last: number): number {
    let sum = 0
    for (let slot = last - SLOTS_A_MINUTE + 1; slot <= last; slot += 1) sum += this.#slots.get(slot) ?? 0
    return sum
  }
}

/** Returns the points of a line that ends at the right edge and has its maximum at the top. */
function pointsOf(rates: number[]): string {
  const { width, height, margin } = SIZE
  const highest = Math.max(1, ...rates)
  const step = width / (POINTS - 1)
  return rates
    .map((rate, index) => {
      const x = width - (rates.length - 1 - index) * step
      const y = height - margin - (rate / highest) * (height - 2 * margin)
      return `${x.toFixed(1)},${y.toFixed(1)}`
    })
    .join(' ')
}

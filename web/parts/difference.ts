import { type Difference, textOf } from './content.js'
import { type Child, make } from './dom.js'

/** Number of characters that are shown on each side of a difference in a long text. */
const CONTEXT = 80

/** Returns the length of the common prefix of two lists. */
function countCommon(one: string[], other: string[]): number {
  let count = 0
  while (count < one.length && count < other.length && one[count] === other[count]) count += 1
  return count
}

/** Splits a text into words, numbers like 1.5, and the single characters between them. */
const piecesOf = (text: string): string[] =>
  text.match(/[\p{L}\p{N}_]+(?:[.,]\p{N}+)*|[^\p{L}\p{N}_]/gu) ?? []

/** Splits two texts into their common beginning and end (`before`, `after`), and what each has in between. */
function split(one: string, other: string) {
  const [a, b] = [piecesOf(one), piecesOf(other)]
  const before = countCommon(a, b)
  const after = countCommon(a.slice(before).reverse(), b.slice(before).reverse())
  const middle = (pieces: string[]) => pieces.slice(before, pieces.length - after).join('')
  return {
    before: a.slice(0, before).join(''),
    one: middle(a),
    other: middle(b),
    after: a.slice(a.length - after).join(''),
  }
}

const shortenStart = (text: string) => (text.length > 2 * CONTEXT ? `… ${text.slice(-CONTEXT)}` : text)
const shortenEnd = (text: string) => (text.length > 2 * CONTEXT ? `${text.slice(0, CONTEXT)} …` : text)

/**
 * Renders two values for comparison: the difference is marked, and long common text is shortened.
 * @returns the nodes of each value
 */
export function nodesOf(one: unknown, other: unknown): [Child[], Child[]] {
  const { before, after, ...middles } = split(textOf(one), textOf(other))
  // Nothing in common: marking all of it would not help.
  if (!before && !after) return [[textOf(one)], [textOf(other)]]
  const nodes = (middle: string) => [shortenStart(before), make('mark', {}, middle), shortenEnd(after)]
  return [nodes(middles.one), nodes(middles.other)]
}

/** Renders a list of differences, each as old and new value. */
export function makeDifferences(differences: Difference[]): HTMLElement {
  return make(
    'dl',
    { className: 'changes' },
    ...differences.map(({ label, one, other }) => {
      const [was, is] = nodesOf(one, other)
      return make(
        'div',
        {},
        make('dt', {}, label || '(no name)'),
        make('dd', {}, make('del', {}, ...was), make('span', {}, ' → '), make('ins', {}, ...is)),
      )
    }),
  )
}

import { textOf } from './content.js'
import { make } from './page.js'

/** So many characters are shown on each side of what differs. */
const CONTEXT = 80

/** How many pieces two lists have in common at their beginnings. */
function countCommon(one, other) {
  let count = 0
  while (count < one.length && count < other.length && one[count] === other[count]) count += 1
  return count
}

/** Words and numbers like 1.5 are pieces, and so is each mark and space between them. */
const piecesOf = (text) => text.match(/[\p{L}\p{N}_]+(?:[.,]\p{N}+)*|[^\p{L}\p{N}_]/gu) ?? []

/** What two texts have in common before and after the place where they differ, and what each has there. */
function split(one, other) {
  const [a, b] = [piecesOf(one), piecesOf(other)]
  const before = countCommon(a, b)
  const after = countCommon(a.slice(before).reverse(), b.slice(before).reverse())
  const middle = (pieces) => pieces.slice(before, pieces.length - after).join('')
  return {
    before: a.slice(0, before).join(''),
    one: middle(a),
    other: middle(b),
    after: a.slice(a.length - after).join(''),
  }
}

const shortenStart = (text) => (text.length > 2 * CONTEXT ? `… ${text.slice(-CONTEXT)}` : text)
const shortenEnd = (text) => (text.length > 2 * CONTEXT ? `${text.slice(0, CONTEXT)} …` : text)

/**
 * Two values as they are read beside each other: what differs is marked, and what is long and the same is left out.
 * @returns the nodes of each
 */
export function nodesOf(one, other) {
  const { before, after, ...middles } = split(textOf(one), textOf(other))
  // Nothing in common: a mark over all of it would say nothing.
  if (!before && !after) return [[textOf(one)], [textOf(other)]]
  const nodes = (middle) => [shortenStart(before), make('mark', {}, middle), shortenEnd(after)]
  return [nodes(middles.one), nodes(middles.other)]
}

/** A list of differences, each as what was and what is. */
export function makeDifferences(differences) {
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

import { NEW_PARTS, SHOP } from './shop.js'

/** An item as the API returns it, as far as the demo reads it. */
export interface Item {
  part_number: string
  item_type: string
  description: string
  sourcing_type: string | null
  properties: Record<string, unknown>
}

/** A request that a user of the demo sends. */
export interface Task {
  method: 'POST' | 'PUT' | 'DELETE'
  path: string
  body?: Record<string, unknown>
}

type Change = (item: Item) => { fields: Record<string, unknown>; comment: string }

/** Returns a random element, each with the same probability. */
export function pick<T>(choices: readonly [T, ...T[]]): T {
  return choices[Math.floor(Math.random() * choices.length)] ?? choices[0]
}

const between = (least: number, most: number): number => least + Math.random() * (most - least)

const property = (item: Item, name: string): unknown => item.properties[name]
const withProperty = (item: Item, name: string, value: unknown) => ({
  properties: { ...item.properties, [name]: value },
})

const numberOf = (item: Item, name: string, fallback: number): number => {
  const value = property(item, name)
  return typeof value === 'number' ? value : fallback
}

const MADE: [Change, ...Change[]] = [
  (item) => ({
    fields: withProperty(item, 'mass_g', Math.round(numberOf(item, 'mass_g', 100) * between(0.9, 1.06))),
    comment: pick(['Pockets milled out, see the sketch', 'Weighed the first article', 'Wall 2 mm thicker']),
  }),
  (item) => ({
    fields: withProperty(
      item,
      'finish',
      pick(['anodised black', 'anodised natural', 'bead blasted', 'none']),
    ),
    comment: pick(['Customer wants it less shiny', 'Anodising is three weeks late', 'As agreed on Tuesday']),
  }),
  (item) => ({
    fields: withProperty(item, 'tolerance', pick(['ISO 2768-m', 'ISO 2768-f', 'H7 at the bearing seat'])),
    comment: pick(['The bearing fell out again', 'Was over-specified', 'Measured on ten, all fine']),
  }),
  (item) => ({
    fields: withProperty(item, 'chamfer_mm', pick([0.3, 0.5, 1])),
    comment: pick(['Cut my finger on it', 'All edges, please', 'For easier assembly']),
  }),
  (item) => ({
    fields: withProperty(item, 'drawing', `D-${Math.floor(between(100, 999))}`),
    comment: pick(['Drawing updated', 'Hole pattern moved by 2 mm', 'Released for the next batch']),
  }),
]

const PRINTED: [Change, ...Change[]] = [
  (item) => ({
    fields: withProperty(item, 'infill_percent', pick([15, 25, 40, 60])),
    comment: pick(['Cracked at the belt clamp after 40 h', 'Prints in half the time now', 'Stiffer']),
  }),
  (item) => ({
    fields: withProperty(item, 'material', pick(['PETG', 'ASA', 'PLA', 'PA12'])),
    comment: pick(['Sagged next to the heater', 'Out of PETG until Friday', 'Back to what worked']),
  }),
]

const BOUGHT: [Change, ...Change[]] = [
  (item) => ({
    fields: withProperty(
      item,
      'price_eur',
      Number((numberOf(item, 'price_eur', 1) * between(0.94, 1.09)).toFixed(2)),
    ),
    comment: pick(['New price list', 'Price for 100', 'They round up now']),
  }),
  (item) => ({
    fields: withProperty(item, 'stock', Math.round(between(0, 120))),
    comment: pick(['Counted', 'Delivery came', 'Kit for Huber taken out']),
  }),
  (item) => ({
    fields: withProperty(item, 'lead_time_days', Math.round(between(2, 60))),
    comment: pick(['Supplier called', 'Order two boxes next time', 'Not before the holidays']),
  }),
]

const ASSEMBLED: [Change, ...Change[]] = [
  (item) => ({
    fields: withProperty(item, 'torque_nm', pick([2.5, 3.2, 4, 5.5])),
    comment: pick(['Screws came loose at Huber’s', 'From the data sheet', 'Checked with the wrench']),
  }),
  (item) => ({
    fields: withProperty(item, 'assembly_minutes', Math.round(between(20, 190))),
    comment: pick(['Timed it today', 'With the new jig', 'Two people']),
  }),
]

const ANYTHING: [Change, ...Change[]] = [
  (item) => ({
    fields: withProperty(item, 'status', pick(['in review', 'released', 'on hold'])),
    comment: pick(['Looked through it with the apprentice', 'Waiting for the supplier', 'Good as it is']),
  }),
  (item) => ({
    fields: withProperty(item, 'location', `shelf ${pick(['A', 'B', 'C'])}${Math.ceil(between(0, 9))}`),
    comment: pick(['Moved', 'Tidied up', 'Found it']),
  }),
]

function changesFor(item: Item): [Change, ...Change[]] {
  if (item.item_type === 'assembly') return ASSEMBLED
  if (item.sourcing_type === 'purchased') return BOUGHT
  if (item.sourcing_type !== 'manufactured') return ANYTHING
  return item.part_number.startsWith('F') && Math.random() < 0.5 ? PRINTED : MADE
}

const pathOf = (item: Item): string => `/api/items/${item.part_number}`

/** Whether the item was created while the demo ran. The imported ones are never archived. */
const isNew = (item: Item): boolean => !SHOP.some(({ part_number }) => part_number === item.part_number)

/** Returns the next request: mostly a change, sometimes a new item or the archiving of one. */
export function nextTask(items: readonly [Item, ...Item[]]): Task {
  const dice = Math.random()
  const [firstNew, ...otherNew] = items.filter(isNew)
  // Items are archived as often as new ones are created, so that their number stays about the same.
  if (dice < 0.05 && firstNew && otherNew.length > 3) {
    return { method: 'DELETE', path: pathOf(pick([firstNew, ...otherNew])) }
  }
  const [firstPart, ...otherParts] = NEW_PARTS
  if (dice < 0.1 && firstPart)
    return { method: 'POST', path: '/api/items', body: pick([firstPart, ...otherParts]) }
  const item = pick(items)
  const { fields, comment } = pick(changesFor(item))(item)
  return { method: 'PUT', path: pathOf(item), body: { ...fields, comment } }
}

/** Returns the pause before the next change, in ms: mostly some seconds, often less, sometimes more. */
export function nextPause(): number {
  const dice = Math.random()
  if (dice < 0.3) return between(400, 1500)
  return dice < 0.9 ? between(2500, 9000) : between(9000, 20_000)
}

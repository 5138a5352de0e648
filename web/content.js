import { isExact, stringify } from './json.js'

/** What a person calls the fields of an item's content; the properties come besides. */
export const FIELDS = {
  description: 'Description',
  item_type: 'Type',
  sourcing_type: 'Sourcing',
  long_description: 'Details',
}

export const ITEM_TYPES = ['part', 'assembly', 'drawing', 'document', 'tool', 'consumable']
export const SOURCING_TYPES = ['manufactured', 'purchased']

export const EMPTY = {
  description: '',
  item_type: 'part',
  sourcing_type: null,
  long_description: '',
  properties: {},
}

export const sameValue = (one, other) => JSON.stringify(one) === JSON.stringify(other)

/** A value as people read it. Of a property, anything that JSON can hold. */
export function textOf(value) {
  if (value === undefined || value === null || value === '') return '–'
  return typeof value === 'string' && !isExact(value) ? value : stringify(value)
}

/** The parts of a content that change one by one, each field and each property, by keys that can't meet. */
function partsOf(content) {
  const fields = Object.entries(FIELDS).map(([name, label]) => [name, { name, label, value: content[name] }])
  const properties = Object.entries(content.properties).map(([name, value]) => [
    `properties.${name}`,
    { name, label: name, value },
  ])
  return new Map([...fields, ...properties])
}

/** Where two contents differ: each field and property, with its value in both; `undefined` where there is none. */
export function differencesOf(one, other) {
  const [ones, others] = [partsOf(one), partsOf(other)]
  return [...new Map([...ones, ...others])]
    .map(([key, { label }]) => ({ key, label, one: ones.get(key)?.value, other: others.get(key)?.value }))
    .filter(({ one, other }) => !sameValue(one, other))
}

/** The fields of `content` that differ from `base`: what a change has to name. The properties are one of them. */
export function changesTo(base, content) {
  const changed = Object.keys(EMPTY).filter((name) => !sameValue(base[name], content[name]))
  return Object.fromEntries(changed.map((name) => [name, content[name]]))
}

/**
 * Where what somebody else has saved stands against what is to be saved, both made from `base`. Only where one side alone
 * has changed something it is clear who should have it: `choice` is `theirs`, `mine` or nothing.
 */
export function conflictsOf(base, theirs, mine) {
  const byThem = new Set(differencesOf(base, theirs).map(({ key }) => key))
  const byMe = new Set(differencesOf(base, mine).map(({ key }) => key))
  return differencesOf(theirs, mine).map(({ key, label, one, other }) => ({
    key,
    label,
    theirs: one,
    mine: other,
    choice: !byThem.has(key) ? 'mine' : byMe.has(key) ? undefined : 'theirs',
  }))
}

/** `theirs`, but `mine` where `isMine` says so of a key of `conflictsOf`: what is mine and gone is gone. */
export function merge(theirs, mine, isMine) {
  const parts = [
    ...[...partsOf(theirs)].filter(([key]) => !isMine(key)),
    ...[...partsOf(mine)].filter(([key]) => isMine(key)),
  ]
  const values = (wanted) => parts.filter(([key]) => wanted(key)).map(([, { name, value }]) => [name, value])
  return {
    ...Object.fromEntries(values((key) => key in FIELDS)),
    properties: Object.fromEntries(values((key) => !(key in FIELDS))),
  }
}

import { isExact, stringify } from './json.js'

/** The labels of the fields of an item's content. The properties are not among them. */
export const FIELDS = {
  description: 'Description',
  item_type: 'Type',
  sourcing_type: 'Sourcing',
  long_description: 'Details',
}

export const ITEM_TYPES = ['part', 'assembly', 'drawing', 'document', 'tool', 'consumable']
export const SOURCING_TYPES = ['manufactured', 'purchased']

/** The content of an item with no field set. */
export const EMPTY = {
  description: '',
  item_type: 'part',
  sourcing_type: null,
  long_description: '',
  properties: {},
}

/** Whether two values have the same JSON. The order of an object's names matters. */
export const sameValue = (one, other) => JSON.stringify(one) === JSON.stringify(other)

/** Returns the text that is shown for the value of a field or a property, which may be any JSON value. */
export function textOf(value) {
  if (value === undefined || value === null || value === '') return '–'
  return typeof value === 'string' && !isExact(value) ? value : stringify(value)
}

/**
 * Returns the parts of a content that are compared one by one: each field and each property, by unique keys.
 */
function partsOf(content) {
  const fields = Object.entries(FIELDS).map(([name, label]) => [name, { name, label, value: content[name] }])
  const properties = Object.entries(content.properties).map(([name, value]) => [
    `properties.${name}`,
    { name, label: name, value },
  ])
  return new Map([...fields, ...properties])
}

/**
 * Returns the fields and properties in which two contents differ, with the value in each; `undefined` if it
 * has none.
 */
export function differencesOf(one, other) {
  const [ones, others] = [partsOf(one), partsOf(other)]
  return [...new Map([...ones, ...others])]
    .map(([key, { label }]) => ({ key, label, one: ones.get(key)?.value, other: others.get(key)?.value }))
    .filter(({ one, other }) => !sameValue(one, other))
}

/**
 * Returns the fields of `content` that differ from `base`, as the body of a change. `properties` is one
 * field.
 */
export function changesTo(base, content) {
  const changed = Object.keys(EMPTY).filter((name) => !sameValue(base[name], content[name]))
  return Object.fromEntries(changed.map((name) => [name, content[name]]))
}

/**
 * Compares two contents that were both made from `base`: `theirs`, which another user has saved, and `mine`,
 * which is to be saved. If only one side has changed a part, `choice` is that side, to be preselected. If
 * both have, it is undefined.
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

/**
 * Merges two contents: takes the parts for whose key (of `conflictsOf`) `isMine` returns true from `mine`,
 * all others from `theirs`. A part that is taken from `mine` and missing there is left out.
 */
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

import type { Content, Item } from './api.js'
import { isExact, stringify } from './json.js'
import { keysOf } from './keys.js'

/** The fields of an item's content, without the properties. */
export type Field = Exclude<keyof Content, 'properties'>

/** The labels of the fields of an item's content. The properties are not among them. */
export const FIELDS: Record<Field, string> = {
  description: 'Description',
  item_type: 'Type',
  sourcing_type: 'Sourcing',
  long_description: 'Details',
}

export const FIELD_NAMES = keysOf<Field>(FIELDS)

export const ITEM_TYPES = keysOf<Item['item_type']>({
  part: true,
  assembly: true,
  drawing: true,
  document: true,
  tool: true,
  consumable: true,
})
export const SOURCING_TYPES = keysOf<NonNullable<Item['sourcing_type']>>({
  manufactured: true,
  purchased: true,
})

/** The content of an item with no field set. */
export const EMPTY: Content = {
  description: '',
  item_type: 'part',
  sourcing_type: null,
  long_description: '',
  properties: {},
}

/** Whether two values have the same JSON. The order of an object's names matters. */
const sameValue = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** Returns the text that is shown for the value of a field or a property, which may be any JSON value. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null || value === '') return '–'
  return typeof value === 'string' && !isExact(value) ? value : stringify(value)
}

/** A field or a property of a content. */
interface Part {
  label: string
  value: unknown
}

/** A part in which two contents differ. Its value is undefined in a content that does not have it. */
export interface Difference {
  /** Unique in a content. */
  key: string
  label: string
  one: unknown
  other: unknown
}

/** A part in which the contents of two users differ. */
export interface Conflict {
  key: string
  label: string
  theirs: unknown
  mine: unknown
  /** The side that is preselected; undefined if both have changed the part. */
  choice: 'theirs' | 'mine' | undefined
}

const keyOf = (property: string) => `properties.${property}`

/**
 * Returns the parts of a content that are compared one by one: each field and each property, by unique keys.
 */
function partsOf(content: Content): Map<string, Part> {
  return new Map<string, Part>([
    ...FIELD_NAMES.map((name) => [name, { label: FIELDS[name], value: content[name] }] as const),
    ...Object.entries(content.properties).map(
      ([name, value]) => [keyOf(name), { label: name, value }] as const,
    ),
  ])
}

/**
 * Returns the fields and properties in which two contents differ, with the value in each; `undefined` if it
 * has none.
 */
export function differencesOf(one: Content, other: Content): Difference[] {
  const [ones, others] = [partsOf(one), partsOf(other)]
  return [...new Map([...ones, ...others])]
    .map(([key, { label }]) => ({ key, label, one: ones.get(key)?.value, other: others.get(key)?.value }))
    .filter(({ one, other }) => !sameValue(one, other))
}

/**
 * Returns the fields of `content` that differ from `base`, as the body of a change. `properties` is one
 * field.
 */
export function changesTo(base: Content, content: Content): Partial<Content> {
  const changed = keysOf<keyof Content>(EMPTY).filter((name) => !sameValue(base[name], content[name]))
  return Object.fromEntries(changed.map((name) => [name, content[name]]))
}

/**
 * Compares two contents that were both made from `base`: `theirs`, which another user has saved, and `mine`,
 * which is to be saved. If only one side has changed a part, `choice` is that side.
 */
export function conflictsOf(base: Content, theirs: Content, mine: Content): Conflict[] {
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
export function merge(theirs: Content, mine: Content, isMine: (key: string) => boolean): Content {
  const sideOf = (key: string) => (isMine(key) ? mine : theirs)
  const propertiesOf = (side: Content) =>
    Object.entries(side.properties).filter(([name]) => sideOf(keyOf(name)) === side)
  return {
    description: sideOf('description').description,
    item_type: sideOf('item_type').item_type,
    sourcing_type: sideOf('sourcing_type').sourcing_type,
    long_description: sideOf('long_description').long_description,
    properties: Object.fromEntries([...propertiesOf(theirs), ...propertiesOf(mine)]),
  }
}

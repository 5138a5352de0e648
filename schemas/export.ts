import type { Item } from './items.js'

/** The name of a property, and whether some items have a text under it and others something else. */
export interface PropertyUse {
  name: string
  text: boolean
  other: boolean
}

/** An item of an export; the first one also has the properties that are in use among all of them. */
export interface ExportedItem extends Item {
  in_use: PropertyUse[] | null
}

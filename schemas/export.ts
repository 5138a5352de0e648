/** The name of a property, and whether some items have a text under it. */
export interface PropertyUse {
  name: string
  text: boolean
}

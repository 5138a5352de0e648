/** What a large item comes to as JSON, about, in bytes. The largest is less than twice as large. */
export const ITEM_BYTES = 256 * 1024

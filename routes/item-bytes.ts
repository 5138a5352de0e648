/**
 * Estimated size of a large item as JSON, in bytes. The largest possible item is less than twice as large.
 */
export const ITEM_BYTES = 256 * 1024

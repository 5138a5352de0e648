import type * as genuine from '../../../feed/cursor.js'

export * from '../../../feed/cursor.js'

/** Ignores the check of a cursor: every client that reconnects is resumed, even if its log was replaced. */
export const isSamePosition: typeof genuine.isSamePosition = () => true

import type * as genuine from '../../feed/cursor.js'

export * from '../../feed/cursor.js'

/** The check of a cursor counts for nothing: whoever comes back is believed, whatever became of the log. */
export const isSamePosition: typeof genuine.isSamePosition = () => true

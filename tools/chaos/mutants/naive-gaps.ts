import type * as genuine from '../../../store/events.js'

export * from '../../../store/events.js'

/** Reports that no transaction is writing, so that the tail skips every gap at once. */
export const readWriters: typeof genuine.readWriters = async () => []

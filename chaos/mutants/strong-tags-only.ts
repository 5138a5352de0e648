import * as genuine from '../../lib/entity-tags.js'

export * from '../../lib/entity-tags.js'

/** A tag that an intermediary has weakened names nothing. */
export const namedTags: typeof genuine.namedTags = (list) =>
  list?.startsWith('W/') ? [] : genuine.namedTags(list)

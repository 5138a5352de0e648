import * as genuine from '../../../lib/entity-tags.js'

export * from '../../../lib/entity-tags.js'

/** Ignores entity tags that an intermediary has weakened. */
export const namedTags: typeof genuine.namedTags = (list) =>
  list?.startsWith('W/') ? [] : genuine.namedTags(list)

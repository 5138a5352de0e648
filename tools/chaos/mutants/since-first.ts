import * as genuine from '../../../lib/cursor-parameters.js'

export * from '../../../lib/cursor-parameters.js'

/** Prefers `since` in the address to `Last-Event-ID`, although only the header is updated by each event. */
export const findCursor: typeof genuine.findCursor = (rawHeaders, url) => {
  const since = new URLSearchParams(url.split('?')[1]).get('since')
  return since === null ? genuine.findCursor(rawHeaders, url) : { cursor: since }
}

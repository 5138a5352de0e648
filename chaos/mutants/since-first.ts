import * as genuine from '../../lib/cursor-parameters.js'

export * from '../../lib/cursor-parameters.js'

/** The address wins, although what a page wrote there stays as it was. */
export const findCursor: typeof genuine.findCursor = (rawHeaders, url) => {
  const since = new URLSearchParams(url.split('?')[1]).get('since')
  return since === null ? genuine.findCursor(rawHeaders, url) : { cursor: since }
}

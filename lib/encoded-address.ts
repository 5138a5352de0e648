/** The part of a request target that can't be decoded, in the form of an error detail. */
export interface EncodingFault {
  /** `path`, or the name of a parameter. */
  field: string
  message: string
}

// A valid request target is ASCII; Node provides other bytes as Latin-1.
const NEEDS_CHECK = /[%\u0080-\u00ff]/

function faultOf(text: string): string | undefined {
  if (/[\u0080-\u00ff]/.test(text)) return 'contains a character that is not percent-encoded'
  try {
    return decodeURIComponent(text).includes('\0') ? 'contains NUL' : undefined
  } catch {
    return 'contains an invalid percent-encoding: encode UTF-8, and "%" itself as %25'
  }
}

/** Finds the first part of a request target that is not the percent-encoding of UTF-8 text without NUL. */
export function findEncodingFault(target: string): EncodingFault | undefined {
  if (!NEEDS_CHECK.test(target)) return undefined
  const mark = target.indexOf('?')
  const [path, query] = mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
  const inPath = faultOf(path)
  if (inPath !== undefined) return { field: 'path', message: inPath }
  for (const pair of query.split('&')) {
    const message = faultOf(pair)
    if (message === undefined) continue
    const name = pair.split('=', 1)[0] ?? ''
    return { field: faultOf(name) === undefined ? decodeURIComponent(name) || 'query' : 'query', message }
  }
  return undefined
}

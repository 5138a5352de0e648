/** A request that can be written as a curl command. */
export interface Request {
  method: string
  url: string
  headers: string[]
  body?: string
}

/**
 * Quotes a text as one word of a POSIX shell, in double quotes, so that the shell expands a variable in it.
 */
const quoteOpen = (text: string): string => `"${text.replace(/["\\`]/g, '\\$&')}"`

/** Quotes a text as one word of a POSIX shell, without any expansion. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Writes a request as a curl command for a shell. */
export function curlOf({ method, url, headers, body }: Request): string {
  const words = [
    method === 'GET' ? 'curl -s' : `curl -s -X ${method}`,
    quote(url),
    ...headers.map((header) => `-H ${header.includes('$') ? quoteOpen(header) : quote(header)}`),
    ...(body === undefined ? [] : [`--data-binary ${quote(body)}`]),
  ]
  return words.join(' \\\n  ')
}

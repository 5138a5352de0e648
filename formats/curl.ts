/** A request, as far as a line of shell needs to know it. */
export interface Request {
  method: string
  url: string
  headers: string[]
  body?: string
}

/** A text as one word of a POSIX shell. In double quotes, so that a variable in it is filled in. */
const quoteOpen = (text: string): string => `"${text.replace(/["\\`]/g, '\\$&')}"`

/** A text as one word of a POSIX shell, exactly as it is. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** A request as a command that can be pasted into a shell. */
export function curlOf({ method, url, headers, body }: Request): string {
  const words = [
    method === 'GET' ? 'curl -s' : `curl -s -X ${method}`,
    quote(url),
    ...headers.map((header) => `-H ${header.includes('$') ? quoteOpen(header) : quote(header)}`),
    ...(body === undefined ? [] : [`--data-binary ${quote(body)}`]),
  ]
  return words.join(' \\\n  ')
}

import { parse, stringify } from './json.js'
import { signInAgain } from './sign-in.js'

/**
 * An error response of the API. `code` is the `error` of its body, `details` are the fields that are wrong,
 * `body` is the whole body.
 */
export class ApiError extends Error {
  constructor(status, body) {
    const { error, message, details = [] } = body
    super(details.map((detail) => `${detail.field} ${detail.message}`).join('; ') || message)
    this.status = status
    this.code = error
    this.details = details
    this.body = body
  }
}

/**
 * Sends a request to the API and returns its response. If the session has ended, it shows the sign-in dialog,
 * and then sends the request again.
 * @throws {ApiError} for an error response; rejects as `fetch` does if there is no response
 */
export async function request(method, path, { headers, body, signal } = {}) {
  const asked = { method, headers: { accept: 'application/json', ...headers }, body, signal }
  const answer = await fetch(path, asked)
  if (answer.ok) return answer
  if (answer.status === 401) {
    await signInAgain()
    return request(method, path, { headers, body, signal })
  }
  throw new ApiError(answer.status, await answer.json())
}

/** Parses the body of a response, with numbers exactly as they are written (json.js). */
export const readJson = async (answer) => parse(await answer.text())

/** Parses the body of a response that is an item, and adds its entity tag as `etag`. */
export const readTagged = async (response) => ({
  ...(await readJson(response)),
  etag: response.headers.get('etag'),
})

/** Reads JSON from the API. */
export async function read(path, signal) {
  return readJson(await request('GET', path, { signal }))
}

/** Sends JSON to the API and returns its response. `headers` may carry `if-match`. */
export function send(method, path, value, headers = {}) {
  const body = value === undefined ? undefined : stringify(value)
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  return request(method, path, { headers: { ...type, ...headers }, body })
}

/** Sends JSON to the API and returns the parsed body of its response; undefined for 204. */
export async function write(method, path, value, headers) {
  const answer = await send(method, path, value, headers)
  return answer.status === 204 ? undefined : readJson(answer)
}

import { parse, stringify } from './json.js'
import { signInAgain } from './sign-in.js'

/**
 * An answer of the API that is no success; `code` is its `error`, `details` what is wrong with which field, `body` all that it
 * says.
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
 * Sends a request to the API and returns its successful response. Where the session has ended, it asks for the sign-in and
 * sends the request again.
 * @throws {ApiError} for any status but a success; whatever `fetch` throws when there is no answer
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

/** The JSON of a response, with its numbers as they are written (json.js). */
export const readJson = async (answer) => parse(await answer.text())

/** The JSON of a response that is an item, with its entity tag as `etag`. */
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

/** Writes JSON to the API and returns the JSON of its response, if there is any. */
export async function write(method, path, value, headers) {
  const answer = await send(method, path, value, headers)
  return answer.status === 204 ? undefined : readJson(answer)
}

/** The error codes of the API, each with its status and its default message. */
export const ERRORS = {
  invalid_request: [400, 'The request is not valid.'],
  invalid_json: [400, 'The body is not valid JSON.'],
  unauthenticated: [401, 'Sign in, or send a valid token as "Authorization: Bearer …".'],
  invalid_credentials: [401, 'The username or the password is wrong.'],
  forbidden: [403, 'Your role does not allow this.'],
  cross_origin: [403, 'A write that is signed in by cookie must come from this origin.'],
  not_found: [404, 'There is nothing at this address.'],
  item_not_found: [404, 'There is no such item.'],
  revision_not_found: [404, 'There is no such revision.'],
  user_not_found: [404, 'There is no such user.'],
  token_not_found: [404, 'There is no such token.'],
  method_not_allowed: [405, 'This address does not take this method.'],
  request_timeout: [408, 'The request took too long to arrive.'],
  part_number_taken: [409, 'An item with this part number exists.'],
  username_taken: [409, 'A user with this name exists.'],
  too_many_tokens: [409, 'A user may have 100 API tokens at a time. Revoke one that is no longer used.'],
  last_admin: [409, 'The last active admin must stay.'],
  revision_mismatch: [412, 'The item has moved on since the revision you named.'],
  payload_too_large: [413, 'The body is too large.'],
  unsupported_media_type: [415, 'The body has a content type that is not accepted here.'],
  import_rejected: [422, 'Nothing was imported: some rows are wrong.'],
  misdirected_request: [
    421,
    'The service is not called by this host: use its address, or a host of PUBLIC_URL.',
  ],
  rate_limited: [429, 'Too many attempts. Wait, then try again.'],
  headers_too_large: [431, 'The headers of the request are too large.'],
  internal: [500, 'Something went wrong on our side. It is in the log under this request_id.'],
  server_read_only: [503, 'The server is read-only at the moment.'],
  database_unavailable: [503, 'The database cannot be reached at the moment.'],
  overloaded: [503, 'The server has too much to do at the moment.'],
} as const satisfies Record<string, readonly [status: number, message: string]>

/** The code of an error of the API: `error` in its body. */
export type ErrorCode = keyof typeof ERRORS

/** A wrong field of a request. */
export interface ErrorDetail {
  /** Its name, or its path, such as `properties.weight`. */
  field: string
  /** Why it is refused. */
  message: string
}

/**
 * An error of the table above. Thrown anywhere below a route; the error handler converts it to the response.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly statusCode: number

  constructor(
    readonly code: ErrorCode,
    readonly options: { message?: string; details?: ErrorDetail[]; headers?: Record<string, string> } = {},
  ) {
    super(options.message ?? ERRORS[code][1])
    this.statusCode = ERRORS[code][0]
  }

  /** The body of the response; every error has the same form. */
  get body() {
    return { error: this.code, message: this.message, details: this.options.details ?? [] }
  }
}

/**
 * Thrown when the service can't start. Its message is all that an operator needs, and is printed without a
 * stack.
 */
export class StartError extends Error {
  override readonly name: string = 'StartError'
}

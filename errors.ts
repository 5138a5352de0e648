/** An error of the API. */
interface ErrorDefinition {
  /** The HTTP status. */
  status: number
  /** The default `message`: what is wrong, and what to do where that is always the same. */
  message: string
  /** What the author of a client does about it. The table in docs/SPECIFICATION.md shows it. */
  cure: string
}

/** Every error that the API responds with, by its code, which is part of the contract. */
export const ERRORS = {
  invalid_request: {
    status: 400,
    message: 'The request is not valid.',
    cure: 'Correct the fields that `details` names, with the reason for each.',
  },
  invalid_json: {
    status: 400,
    message: 'The body is not valid JSON.',
    cure: 'Correct the body; `details` has the reason.',
  },
  unauthenticated: {
    status: 401,
    message: 'Sign in, or send a valid token as "Authorization: Bearer …".',
    cure: 'Sign in again, or use another token: this one is missing, wrong, expired or revoked.',
  },
  invalid_credentials: {
    status: 401,
    message: 'The username or the password is wrong.',
    cure:
      'Let the user enter both again. The response is the same for a user who does not exist or is ' +
      'disabled.',
  },
  forbidden: {
    status: 403,
    message: 'Your role does not allow this.',
    cure: 'Use an account or a token with the role that the endpoint needs.',
  },
  cross_origin: {
    status: 403,
    message: 'A write with a cookie must come from a page of this service. Send a token instead.',
    cure: 'Send an API token from other origins. Behind a proxy, set `PUBLIC_URL`.',
  },
  not_found: {
    status: 404,
    message: 'Not found.',
    cure: 'Correct the path: no endpoint has it.',
  },
  item_not_found: {
    status: 404,
    message: 'There is no item with this part number.',
    cure: 'Search for the item. An archived item is not found, and a part number never changes.',
  },
  revision_not_found: {
    status: 404,
    message: 'The item has no such revision.',
    cure: "Take a revision number from the item's list of revisions.",
  },
  user_not_found: {
    status: 404,
    message: 'There is no user with this name.',
    cure: 'Take the username from the list of users.',
  },
  token_not_found: {
    status: 404,
    message: 'There is no such token.',
    cure: 'Take the id from the list of tokens; the token may have been revoked or have expired.',
  },
  method_not_allowed: {
    status: 405,
    message: 'This path does not accept this method.',
    cure: 'Use a method of the `Allow` header.',
  },
  request_timeout: {
    status: 408,
    message: 'The request took too long to arrive.',
    cure: 'Retry on a new connection.',
  },
  part_number_taken: {
    status: 409,
    message: 'An item with this part number exists.',
    cure: 'Use another part number, or change the item that has it.',
  },
  username_taken: {
    status: 409,
    message: 'A user with this name exists.',
    cure: 'Use another username, or change the user who has it.',
  },
  too_many_tokens: {
    status: 409,
    message: 'A user may have 100 API tokens at a time. Revoke one that is no longer used.',
    cure: 'Revoke tokens that are no longer used.',
  },
  last_admin: {
    status: 409,
    message: 'The last active admin must keep the role. Make another user an admin first.',
    cure: 'Make another user an admin first.',
  },
  revision_mismatch: {
    status: 412,
    message: 'The item has changed since the revision in If-Match. Read it again.',
    cure: 'Read the item, apply the change to the new revision, and send that one in `If-Match`.',
  },
  payload_too_large: {
    status: 413,
    message: 'The body is too large.',
    cure: 'Send less: 16 KiB without signing in, 1 MiB to other endpoints, 64 MiB to the import.',
  },
  unsupported_media_type: {
    status: 415,
    message: 'The endpoint does not accept this content type.',
    cure: 'Send a content type that the endpoint documents, without a `Content-Encoding`.',
  },
  misdirected_request: {
    status: 421,
    message: 'This host is not a name of the service. Use its address, or set PUBLIC_URL to its name.',
    cure: 'Use the address of the service, or set `PUBLIC_URL` to the name it has outside.',
  },
  import_rejected: {
    status: 422,
    message: 'Nothing was imported: some rows are wrong.',
    cure: 'Correct the rows that the response lists, and import the file again.',
  },
  rate_limited: {
    status: 429,
    message: 'Too many attempts. Wait, then try again.',
    cure: 'Wait for the seconds of `Retry-After`.',
  },
  headers_too_large: {
    status: 431,
    message: 'The headers of the request are too large.',
    cure: 'Send fewer or smaller headers and cookies: 16 KiB in all.',
  },
  internal: {
    status: 500,
    message:
      'The request failed because of a fault of the service. Its log has the cause under the id in the ' +
      'request-id header.',
    cure: 'Report it with the `request-id` header of the response.',
  },
  server_read_only: {
    status: 503,
    message: 'The server is read-only. Retry later.',
    cure: 'Retry after the seconds of `Retry-After`; reads and streams work.',
  },
  database_unavailable: {
    status: 503,
    message: 'The database is unavailable. Retry later.',
    cure:
      'Retry after the seconds of `Retry-After`. Send a write again only if it may happen twice, or read ' +
      'first.',
  },
  overloaded: {
    status: 503,
    message: 'The server is overloaded. Retry later.',
    cure: 'Retry after the seconds of `Retry-After`, with fewer requests at a time.',
  },
} as const satisfies Record<string, ErrorDefinition>

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
    super(options.message ?? ERRORS[code].message)
    this.statusCode = ERRORS[code].status
  }

  /**
   * Returns the error of a request with one wrong field.
   * @param field its name, or its path
   * @param message why it is refused
   */
  static invalid(field: string, message: string): ApiError {
    return new ApiError('invalid_request', { details: [{ field, message }] })
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

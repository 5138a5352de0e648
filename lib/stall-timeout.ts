/**
 * How long a transfer may make no progress before it is ended, in ms: a response that the client does not
 * read, or an upload of which no byte arrives.
 */
export const STALL_TIMEOUT_MS = 60_000

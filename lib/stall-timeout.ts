/**
 * How long a socket may make no progress with a response before it is destroyed, in ms: the client does not
 * read, or its network is gone.
 */
export const STALL_TIMEOUT_MS = 60_000

/** Polls the log only once an hour, so that the poll does not make up for a lost notification. */
export const POLL_MS = 3_600_000

/** Reads the log without a notification only once an hour: nothing hides a lost notification any more. */
export const POLL_MS = 3_600_000

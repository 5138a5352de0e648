/**
 * How often the log is read without a notification, in ms: a notification can be lost, this can't. It has a module of its own so
 * that the chaos run can turn it off and see what it hides (docs/reliability.md).
 */
export const POLL_MS = 1000

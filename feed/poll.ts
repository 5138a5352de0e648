/**
 * Interval at which the log is read without a notification, in ms. A notification can be lost; the poll then
 * finds the events. It has a module of its own so that the chaos tests can turn it off and find faults that
 * it would hide (docs/reliability.md).
 */
export const POLL_MS = 1000

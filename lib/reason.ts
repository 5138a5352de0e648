/**
 * Returns the reason of an error in one line. Node's error for several addresses that all failed has a code
 * but no message.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message || ('code' in error ? String(error.code) : error.name)
}

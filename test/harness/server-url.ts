/** The postgres:// address of the server that the tests use; its user may create databases. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL
  if (url === undefined) throw new Error('TEST_DATABASE_URL is not set')
  return url
}

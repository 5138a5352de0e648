/** Something is not installed on this machine. The report says so, with the reason. */
export class Missing extends Error {
  override readonly name = 'Missing'
}

/** Thrown when a program or package is not installed on this machine. The message is part of the report. */
export class Missing extends Error {
  override readonly name = 'Missing'
}

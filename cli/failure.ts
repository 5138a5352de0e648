/** The exit codes, by the reason of the failure. */
export const EXIT = {
  /** The server refused the request, or what it names does not exist. */
  refused: 1,
  /** The command line is invalid. */
  usage: 2,
  /** There is no valid sign-in, or its role is not sufficient. */
  access: 3,
  /** The server can't be reached. */
  unreachable: 4,
} as const

/** An error that ends the command. Its message is printed for the user. */
export class Failure extends Error {
  override readonly name = 'Failure'

  constructor(
    message: string,
    readonly exitCode: number = EXIT.refused,
  ) {
    super(message)
  }
}

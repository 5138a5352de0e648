/** How the command ends, by what kept it from its work. */
export const EXIT = {
  /** The server refused, or there is no such thing. */
  refused: 1,
  /** The command was not understood. */
  usage: 2,
  /** Nobody is signed in, or the sign-in does not allow this. */
  access: 3,
  /** The server can't be reached. */
  unreachable: 4,
} as const

/** Why the command could not do its work, in a sentence for whoever typed it. */
export class Failure extends Error {
  override readonly name = 'Failure'

  constructor(
    message: string,
    readonly exitCode: number = EXIT.refused,
  ) {
    super(message)
  }
}

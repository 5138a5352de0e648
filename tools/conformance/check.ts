import type { Suite } from './suite.js'

/** One requirement, with the test of whether a server meets it. */
export interface Check {
  /** A stable identifier, for programs. */
  id: string
  /** The requirement, as a sentence. */
  title: string
  /** The standard or promise that contains the requirement. */
  source: string
  /** True if no other check is possible when this one fails. */
  essential?: boolean
  /**
   * Makes the check.
   * @throws {Violation} when the requirement is not met
   * @throws {NotApplicable} when the check can't be made on this server
   */
  run: (suite: Suite) => Promise<void>
}

/** Thrown when the server does not meet a requirement. The message says what was observed. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** Thrown when a check can't be made on this server. The message says why. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable'
}

/**
 * Asserts that `holds` is true.
 * @throws {Violation} with `seen` as its message, if it is not
 */
export function demand(holds: boolean, seen: string): asserts holds {
  if (!holds) throw new Violation(seen)
}

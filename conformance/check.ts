import type { Suite } from './suite.js'

/** One promise, and how to find out whether a server keeps it. */
export interface Check {
  /** Stable, for machines. */
  id: string
  /** What must hold. */
  title: string
  /** Where that is written. */
  source: string
  /** Without this nothing else can be told. */
  essential?: boolean
  /** @throws {Violation} when it does not hold, {NotApplicable} when that can't be told here */
  run: (suite: Suite) => Promise<void>
}

/** The server does something else; the message says what was seen. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** The check can't be made on this server; the message says why. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable'
}

/** @throws {Violation} with what was seen, unless it holds */
export function demand(holds: boolean, seen: string): asserts holds {
  if (!holds) throw new Violation(seen)
}

import type { Position } from '../schemas/events.js'

/** A position in the log and the log's epoch, as clients store it. */
export interface Cursor extends Position {
  epoch: string
}

/**
 * Only letters, digits and dashes: with any other character in `Last-Event-ID`, a cross-origin request needs
 * a preflight.
 */
const CURSOR = /^([0-9a-f]{8})-(0|[1-9][0-9]{0,14})-([0-9a-f]{8})$/

/** Formats a position as the cursor `<epoch>-<id>-<check>`. */
export const formatCursor = (epoch: string, { id, check }: Position): string => `${epoch}-${id}-${check}`

/** Parses a cursor that a client has sent. Returns undefined for text that this service can't have issued. */
export function parseCursor(text: string): Cursor | undefined {
  const [, epoch, id, check] = CURSOR.exec(text) ?? []
  return epoch === undefined || id === undefined || check === undefined
    ? undefined
    : { epoch, id: Number(id), check }
}

/**
 * Whether both are the position of the same event. If their ids are equal and their checks are not, they are
 * positions in different logs.
 */
export const isSamePosition = (one: Position, other: Position): boolean =>
  one.id === other.id && one.check === other.check

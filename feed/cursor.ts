import type { Position } from '../schemas/events.js'

/** A position in one history of the log, as clients keep it. */
export interface Cursor extends Position {
  epoch: string
}

/** Letters, digits and a dash only: any other character in `Last-Event-ID` costs a cross-origin client a preflight. */
const CURSOR = /^([0-9a-f]{8})-(0|[1-9][0-9]{0,14})-([0-9a-f]{8})$/

export const formatCursor = (epoch: string, { id, check }: Position): string => `${epoch}-${id}-${check}`

/** Reads a cursor as a client sends it; undefined for anything that was never one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [, epoch, id, check] = CURSOR.exec(text) ?? []
  return epoch === undefined || id === undefined || check === undefined
    ? undefined
    : { epoch, id: Number(id), check }
}

/** Whether both stand at the same event, which tells that they are positions in the same history. */
export const isSamePosition = (one: Position, other: Position): boolean =>
  one.id === other.id && one.check === other.check

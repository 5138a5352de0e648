/** A position in one history of the log: everything up to and including `id` has been seen. */
export interface Cursor {
  epoch: string
  id: number
}

/** Letters, digits and a dash only: any other character in `Last-Event-ID` costs a cross-origin client a preflight. */
const CURSOR = /^([0-9a-f]{8})-(0|[1-9][0-9]{0,14})$/

export const formatCursor = (epoch: string, id: number): string => `${epoch}-${id}`

/** Reads a cursor as a client sends it; undefined for anything that was never one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [, epoch, id] = CURSOR.exec(text) ?? []
  return epoch === undefined || id === undefined ? undefined : { epoch, id: Number(id) }
}

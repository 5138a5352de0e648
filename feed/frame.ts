import type { LoggedEvent } from '../schemas/events.js'
import { formatCursor } from './cursor.js'
import type { Filterable } from './filter.js'

/** An event, encoded once for everybody. */
export interface Entry extends Filterable {
  id: number
  frame: Buffer
  /** Where in the frame the JSON of `data` begins; it ends before the frame's last two line feeds. */
  dataAt: number
}

/**
 * One event of a stream (WHATWG HTML, section 9.2.5). Neither argument can hold a line break: ids are cursors, types are
 * ours, and JSON escapes every control character.
 */
export function encodeFrame(id: string, type: string, data: unknown): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}

export function encodeEntry(epoch: string, event: LoggedEvent): Entry {
  const { id, type, part_number, data, actor, at } = event
  const cursor = formatCursor(epoch, id)
  return {
    id,
    type,
    partNumber: part_number.toLowerCase(),
    frame: Buffer.from(encodeFrame(cursor, type, { part_number, ...data, actor, at })),
    dataAt: 'id: \nevent: \ndata: '.length + cursor.length + type.length,
  }
}

/** The event's `data` as the frame carries it. */
export function decodeData({ frame, dataAt }: Entry): unknown {
  return JSON.parse(frame.toString('utf8', dataAt, frame.length - 2))
}

/**
 * Frames ready for the socket: one chunk of the chunked coding (RFC 9112, section 7.1), made once and shared by every
 * connection that is due the same. HTTP/1.0 knows no chunks and gets what is inside.
 */
export class Block {
  readonly chunked: Buffer
  readonly #headLength: number

  constructor(frames: readonly Buffer[]) {
    const length = frames.reduce((sum, frame) => sum + frame.length, 0)
    const head = Buffer.from(`${length.toString(16)}\r\n`)
    this.#headLength = head.length
    this.chunked = Buffer.concat([head, ...frames, CRLF])
  }

  static fromText(text: string): Block {
    return new Block([Buffer.from(text)])
  }

  get plain(): Buffer {
    return this.chunked.subarray(this.#headLength, -CRLF.length)
  }
}

const CRLF = Buffer.from('\r\n')

/** The end of a chunked body: whoever reads it knows that nothing was cut off. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

import type { LoggedEvent } from '../schemas/events.js'
import { formatCursor } from './cursor.js'
import type { Filterable } from './filter.js'

/** An event, encoded once for everybody. */
export interface Entry extends Filterable {
  id: number
  /** Holds the frames of all that was encoded together: a buffer for each would cost more than what is in it. */
  bytes: Buffer
  /** Where in `bytes` the frame begins and ends. */
  start: number
  end: number
}

/** The length of its frame, in bytes. */
export const lengthOf = ({ start, end }: Entry): number => end - start

/**
 * One event of a stream (WHATWG HTML, section 9.2.5). Neither argument can hold a line break: ids are cursors, types are
 * ours, and JSON escapes every control character.
 */
export function encodeFrame(id: string, type: string, data: unknown): string {
  return frameOf(id, type, JSON.stringify(data))
}

const DATA = '\ndata: '
const frameOf = (id: string, type: string, json: string): string =>
  `id: ${id}\nevent: ${type}${DATA}${json}\n\n`

/** `data` on the wire. What the log has as JSON goes in as it is: to parse it and write it anew took most of a replay. */
function dataOf({ part_number, data, actor, at }: LoggedEvent): string {
  const own = data === '{}' ? '' : `${data.slice(1, -1)},`
  return `{"part_number":${JSON.stringify(part_number)},${own}"actor":${JSON.stringify(actor)},"at":"${at.toISOString()}"}`
}

/** Encodes what follows each other in the log, one frame behind the other. */
export function encodeEntries(epoch: string, events: readonly LoggedEvent[]): Entry[] {
  const frames = events.map((event) => frameOf(formatCursor(epoch, event.id), event.type, dataOf(event)))
  const bytes = Buffer.allocUnsafe(frames.reduce((sum, frame) => sum + Buffer.byteLength(frame), 0))
  let end = 0
  return events.map(({ id, type, part_number }, index) => {
    const start = end
    end += bytes.write(frames[index] ?? '', start)
    return { id, type, partNumber: part_number.toLowerCase(), bytes, start, end }
  })
}

/** The event's `data` as its frame carries it, in the last of its lines. */
export function decodeData({ bytes, start, end }: Entry): unknown {
  const frame = bytes.toString('utf8', start, end)
  return JSON.parse(frame.slice(frame.indexOf(DATA) + DATA.length))
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

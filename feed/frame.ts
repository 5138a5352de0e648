import { escapeSeparatorBytes, escapeSeparators } from '../lib/line-separators.js'
import type { LoggedEvent, Position } from '../schemas/events.js'
import { formatCursor } from './cursor.js'
import { type Filterable, Outline } from './filter.js'

/** At most this much goes into one write, in bytes (or one event that is larger): what a slow reader may hold. */
export const WRITE_BYTES = 32 * 1024

/** An event, encoded once for everybody. */
export interface Entry extends Filterable, Position {
  /** Holds the frames of what was encoded together, as far as it fits one write. */
  block: Block
  /** Where in the block's `chunked` the frame begins and ends. */
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
  return `${headOf(id, type)}${escapeSeparators(JSON.stringify(data))}${END}`
}

const DATA = '\ndata: '
const END = '\n\n'
const headOf = (id: string, type: string): string => `id: ${id}\nevent: ${type}${DATA}`

/** An event's frame before it has a place: its head is ASCII, its data the log's own bytes, with no separator of lines in them. */
interface Frame extends Filterable, Position {
  head: string
  data: Uint8Array
}

/** @param length of all frames together, in bytes */
function encodeBlock(frames: readonly Frame[], length: number): Entry[] {
  const block = Block.ofLength(length, Outline.of(frames))
  const { chunked } = block
  let end = block.start
  return frames.map(({ id, check, type, partNumber, head, data }) => {
    const start = end
    end += chunked.write(head, end, 'latin1')
    chunked.set(data, end)
    end += data.length
    end += chunked.write(END, end, 'latin1')
    return { id, check, type, partNumber, block, start, end }
  })
}

/** Encodes what follows each other in the log, into blocks as large as one write may be. */
export function encodeEntries(epoch: string, events: readonly LoggedEvent[]): Entry[] {
  const entries: Entry[] = []
  let frames: Frame[] = []
  let total = 0
  for (const event of events) {
    const { id, check, type, part_number } = event
    const data = escapeSeparatorBytes(event.data)
    const head = headOf(formatCursor(epoch, event), type)
    const length = head.length + data.length + END.length
    if (total > 0 && total + length > WRITE_BYTES) {
      entries.push(...encodeBlock(frames, total))
      frames = []
      total = 0
    }
    frames.push({ id, check, type, partNumber: part_number.toLowerCase(), head, data })
    total += length
  }
  if (total > 0) entries.push(...encodeBlock(frames, total))
  return entries
}

/** The event's `data` as its frame carries it, in the last of its lines. */
export function decodeData({ block, start, end }: Entry): unknown {
  const frame = block.chunked.toString('utf8', start, end)
  return JSON.parse(frame.slice(frame.indexOf(DATA) + DATA.length))
}

/**
 * Frames ready for the socket: one chunk of the chunked coding (RFC 9112, section 7.1), made once and shared by every
 * connection that is due the same. HTTP/1.0 knows no chunks and gets what is inside.
 */
export class Block {
  private constructor(
    readonly chunked: Buffer,
    /** Where in `chunked` the frames begin and end. */
    readonly start: number,
    readonly end: number,
    /** What the events in it have in common, where it holds events. */
    readonly outline?: Outline,
  ) {}

  static fromText(text: string): Block {
    const block = Block.ofLength(Buffer.byteLength(text))
    block.chunked.write(text, block.start)
    return block
  }

  static concat(stretches: readonly Buffer[]): Block {
    const block = Block.ofLength(stretches.reduce((sum, { length }) => sum + length, 0))
    let end = block.start
    for (const stretch of stretches) end += stretch.copy(block.chunked, end)
    return block
  }

  /** One whose frames, `length` bytes together, are still to be written, from its `start`. */
  static ofLength(length: number, outline?: Outline): Block {
    const head = `${length.toString(16)}\r\n`
    const end = head.length + length
    const chunked = Buffer.allocUnsafe(end + CRLF.length)
    chunked.write(head, 0, 'latin1')
    chunked.write(CRLF, end, 'latin1')
    return new Block(chunked, head.length, end, outline)
  }

  get plain(): Buffer {
    return this.chunked.subarray(this.start, this.end)
  }
}

const CRLF = '\r\n'

/** The end of a chunked body: whoever reads it knows that nothing was cut off. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

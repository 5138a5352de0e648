import { escapeSeparatorBytes, escapeSeparators } from '../lib/line-separators.js'
import type { LoggedEvent, Position } from '../schemas/events.js'
import { formatCursor } from './cursor.js'
import type { Filterable } from './filter.js'

/**
 * Maximum size of one write, in bytes, unless one event is larger. Bounds the memory that a slow reader
 * holds.
 */
export const WRITE_BYTES = 32 * 1024

/** An event and its frame, which is encoded once for all connections. */
export interface Entry extends Filterable, Position {
  /** The frames of the events that were encoded together, up to the size of one write. */
  block: Block
  /** Start of the frame in the block's `chunked`. */
  start: number
  /** End of the frame in the block's `chunked`, exclusive. */
  end: number
}

/** Returns the length of an event's frame, in bytes. */
export const lengthOf = ({ start, end }: Entry): number => end - start

/**
 * Encodes one event of a stream (WHATWG HTML, section 9.2.5). No argument can contain a line break: ids are
 * cursors, types are constants, and JSON escapes every control character.
 */
export function encodeFrame(id: string, type: string, data: unknown): string {
  return `${headOf(id, type)}${escapeSeparators(JSON.stringify(data))}${END}`
}

const DATA = '\ndata: '
const END = '\n\n'
const headOf = (id: string, type: string): string => `id: ${id}\nevent: ${type}${DATA}`

/** A frame before it is written to a block. */
interface Frame extends Filterable, Position {
  /** Every line before the data, in ASCII. */
  head: string
  /** The event's JSON as the log holds it, without line separators. */
  data: Uint8Array
}

/**
 * Writes frames into one new block, one after the other.
 * @param length total length of the frames, in bytes
 */
function encodeBlock(frames: readonly Frame[], length: number): Entry[] {
  const block = Block.ofLength(length)
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

/** Encodes consecutive events of the log into blocks, each as large as one write may be. */
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

/** Parses the `data` of an event from the last line of its frame. */
export function decodeData({ block, start, end }: Entry): unknown {
  const frame = block.chunked.toString('utf8', start, end)
  return JSON.parse(frame.slice(frame.indexOf(DATA) + DATA.length))
}

/**
 * Frames that are ready for the socket: one chunk of the chunked transfer coding (RFC 9112, section 7.1),
 * encoded once and shared by all connections that send the same frames. HTTP/1.0 has no chunks; its clients
 * are sent `plain`.
 */
export class Block {
  private constructor(
    readonly chunked: Buffer,
    /** Start of the frames in `chunked`. */
    readonly start: number,
    /** End of the frames in `chunked`, exclusive. */
    readonly end: number,
  ) {}

  /** Encodes text as a block. */
  static fromText(text: string): Block {
    const block = Block.ofLength(Buffer.byteLength(text))
    block.chunked.write(text, block.start)
    return block
  }

  /** Copies frames into one new block. */
  static concat(stretches: readonly Buffer[]): Block {
    const block = Block.ofLength(stretches.reduce((sum, { length }) => sum + length, 0))
    let end = block.start
    for (const stretch of stretches) end += stretch.copy(block.chunked, end)
    return block
  }

  /** Allocates a block whose frames, `length` bytes in all, must still be written from `start` on. */
  static ofLength(length: number): Block {
    const head = `${length.toString(16)}\r\n`
    const end = head.length + length
    const chunked = Buffer.allocUnsafe(end + CRLF.length)
    chunked.write(head, 0, 'latin1')
    chunked.write(CRLF, end, 'latin1')
    return new Block(chunked, head.length, end)
  }

  /** The frames without the chunked transfer coding. */
  get plain(): Buffer {
    return this.chunked.subarray(this.start, this.end)
  }
}

const CRLF = '\r\n'

/** The last chunk of a response, by which a client knows that the response is complete. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

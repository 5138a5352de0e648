import type { LoggedEvent } from '../schemas/events.js'
import { formatCursor } from './cursor.js'
import type { Filterable } from './filter.js'

/** At most this much goes into one write, in bytes (or one event that is larger): what a slow reader may hold. */
export const WRITE_BYTES = 32 * 1024

/** An event, encoded once for everybody. */
export interface Entry extends Filterable {
  id: number
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

interface Frame {
  event: LoggedEvent
  text: string
  /** In UTF-8, in bytes. */
  length: number
}

function encodeBlock(frames: readonly Frame[], length: number): Entry[] {
  const block = Block.fromText(frames.map(({ text }) => text).join(''), length)
  let end = block.start
  return frames.map(({ event: { id, type, part_number }, length }) => {
    const start = end
    end += length
    return { id, type, partNumber: part_number.toLowerCase(), block, start, end }
  })
}

/** Encodes what follows each other in the log, into blocks as large as one write may be. */
export function encodeEntries(epoch: string, events: readonly LoggedEvent[]): Entry[] {
  const entries: Entry[] = []
  let frames: Frame[] = []
  let total = 0
  for (const event of events) {
    const text = frameOf(formatCursor(epoch, event.id), event.type, dataOf(event))
    const length = Buffer.byteLength(text)
    if (total > 0 && total + length > WRITE_BYTES) {
      entries.push(...encodeBlock(frames, total))
      frames = []
      total = 0
    }
    frames.push({ event, text, length })
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
  ) {}

  /** @param length of the text in UTF-8, in bytes */
  static fromText(text: string, length = Buffer.byteLength(text)): Block {
    const block = Block.#ofLength(length)
    block.chunked.write(text, block.start)
    return block
  }

  static concat(stretches: readonly Buffer[]): Block {
    const block = Block.#ofLength(stretches.reduce((sum, { length }) => sum + length, 0))
    let end = block.start
    for (const stretch of stretches) end += stretch.copy(block.chunked, end)
    return block
  }

  static #ofLength(length: number): Block {
    const head = `${length.toString(16)}\r\n`
    const end = head.length + length
    const chunked = Buffer.allocUnsafe(end + CRLF.length)
    chunked.write(head, 0, 'latin1')
    chunked.write(CRLF, end, 'latin1')
    return new Block(chunked, head.length, end)
  }

  get plain(): Buffer {
    return this.chunked.subarray(this.start, this.end)
  }
}

const CRLF = '\r\n'

/** The end of a chunked body: whoever reads it knows that nothing was cut off. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n')

import { type Socket, connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Sql } from '../../store/driver/connect.js'

const FRAME = Buffer.from('\nid: ')
const FRAME_END = Buffer.from('\n\n')
const LINE_FEED = 10

/** A subscriber that costs little: a bare socket that parses only the id and the type of each frame. */
export class Member {
  /** The id of the last event received, or the position at which the stream began. */
  position: number | undefined
  /** The cursor with which it reconnects. */
  cursor: string | undefined
  events = 0
  connects = 0
  isOpen = false
  /** When `awaited` was reached after the last connect, by `performance.now()`. */
  reachedAt: number | undefined
  /** The id to reach. */
  awaited = Infinity
  /** The mode of the last `server.state`. */
  mode: string | undefined
  /** When the first `server.state` arrived since this was set to Infinity, by `performance.now()`. */
  modeAt = Infinity
  /** Disconnects when it has this many events. */
  leavesAfter = Infinity
  readonly problems: string[] = []
  /** Ids that were skipped: those of events that were never committed, or that were lost. */
  readonly skipped = new Set<number>()
  /** The last bytes or the error of the socket, for the report of an unexpected end. */
  ending = ''
  #socket: Socket | undefined
  #rest: Buffer = Buffer.alloc(0)

  constructor(
    readonly port: number,
    readonly token: string,
  ) {}

  get socket(): Socket | undefined {
    return this.#socket
  }

  /** Connects and resumes at its cursor. Without `reads`, it reads nothing until `resume` is called. */
  connect(reads = true): void {
    this.connects++
    this.reachedAt = undefined
    this.#rest = Buffer.alloc(0)
    const socket = connect(this.port, '127.0.0.1')
    this.#socket = socket
    this.isOpen = true
    const cursor = this.cursor === undefined ? '' : `Last-Event-ID: ${this.cursor}\r\n`
    socket.write(
      `GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${this.token}\r\n` +
        `Accept: text/event-stream\r\n${cursor}\r\n`,
    )
    socket.on('data', (bytes) => this.#read(bytes))
    if (!reads) socket.pause()
    // An error is not a problem by itself: the client reconnects with its cursor.
    socket.on('error', ({ message }) => (this.ending = message))
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.isOpen = false
      this.ending += this.#rest.toString('latin1', 0, 300)
    })
  }

  resume(): void {
    this.#socket?.resume()
  }

  leave(): void {
    this.#socket?.destroy()
    this.isOpen = false
  }

  #read(bytes: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    const end = data.lastIndexOf(FRAME_END)
    if (end < 0) {
      this.#rest = data
      return
    }
    if (!data.includes(FRAME)) this.ending = data.toString('latin1')
    for (let at = data.indexOf(FRAME); at >= 0 && at < end; at = data.indexOf(FRAME, at + FRAME.length)) {
      const idEnd = data.indexOf(LINE_FEED, at + 1)
      const typeEnd = data.indexOf(LINE_FEED, idEnd + 1)
      const cursor = data.toString('latin1', at + FRAME.length, idEnd)
      const type = data.toString('latin1', idEnd + 'event: '.length + 1, typeEnd)
      this.#saw(cursor, type)
      if (type === 'server.state')
        this.#heard(data.toString('latin1', typeEnd, data.indexOf(LINE_FEED, typeEnd + 1)))
      if (!this.isOpen) return
    }
    this.#rest = Buffer.from(data.subarray(end + 1))
  }

  #heard(data: string): void {
    this.mode = /"mode":"([a-z-]+)"/.exec(data)?.[1]
    this.modeAt = Math.min(this.modeAt, performance.now())
  }

  #saw(cursor: string, type: string): void {
    const id = Number(cursor.split('-')[1])
    if (type.startsWith('item.') || type.startsWith('revision.')) {
      if (this.position !== undefined) {
        if (id <= this.position) this.problems.push(`event ${id} after ${this.position}`)
        for (let missing = this.position + 1; missing < id; missing++) this.skipped.add(missing)
      }
      this.position = id
      this.cursor = cursor
      this.events++
      if (this.events >= this.leavesAfter) this.leave()
    } else if (type === 'reset') this.problems.push(`a reset after ${this.position ?? 'nothing'}`)
    else {
      this.position ??= id
      this.cursor ??= cursor
      if (id !== this.position) this.problems.push(`${type} with the id ${id}, at ${this.position}`)
    }
    if ((this.position ?? 0) >= this.awaited) this.reachedAt ??= performance.now()
  }
}

/** Returns a sentence about an event that was repeated, out of order or lost; undefined if there is none. */
export async function findWrong(sql: Sql, crowd: readonly Member[]): Promise<string | undefined> {
  const wrong = crowd.filter(({ problems }) => problems.length > 0)
  if (wrong.length > 0)
    return `${wrong.length} received something twice or out of order: ${wrong[0]?.problems[0] ?? ''}`
  const skipped = [...new Set(crowd.flatMap(({ skipped }) => [...skipped]))].map(String)
  const [lost] = await sql`select id from events where id::text = any(${skipped}::text[]) limit 1`
  return lost && `event ${String(lost.id)} was not received`
}

/** Waits until every one of `things` is `done`, for `limitMs` at most. Returns how many are not. */
export async function all<T>(
  things: readonly T[],
  done: (thing: T) => boolean,
  limitMs: number,
): Promise<number> {
  const until = performance.now() + limitMs
  for (;;) {
    const missing = things.filter((thing) => !done(thing)).length
    if (missing === 0 || performance.now() > until) return missing
    await delay(50)
  }
}

/** Returns the median, the 99th percentile and the maximum. */
export function percentiles(values: readonly number[]): { median: number; p99: number; most: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { median: at(0.5), p99: at(0.99), most: sorted.at(-1) ?? 0 }
}

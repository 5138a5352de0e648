import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from '../../harness/program.js'
import type { Scope } from '../../harness/scope.js'

/** Returns the time of day in ms, with fractions, on the same clock as the figures of the subscribers. */
export const clock = (): number => performance.timeOrigin + performance.now()

/** Every event of the log contains this text once, and so does every event of the peers. */
const MARK = '{"part_number":"'

/** When the events arrived at the subscribers. All times are by `clock`. */
export interface Delivery {
  /** When the first subscriber had each event. */
  first: number[]
  /** When the last subscriber had each event. */
  last: number[]
  /** When the first subscriber began to connect. */
  began: number
  bytes: number
}

interface Options {
  /** The compiled `watchers.c`. */
  program: string
  port: number
  /** The requests that the connections send, in turn. */
  requests: readonly string[]
  connections: number
  /** How many events each connection waits for. With 0, they stay open. */
  events: number
}

/** Subscribers that count their events, all in one process, which is written in C. */
export class Watchers {
  readonly #process: Program
  readonly #times: string

  private constructor(process: Program, times: string) {
    this.#process = process
    this.#times = times
  }

  /** Starts the process, which opens the connections. */
  static async start(scope: Scope, options: Options): Promise<Watchers> {
    const { program, port, requests, connections, events } = options
    const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
    scope.defer(() => rm(folder, { recursive: true }))
    const file = join(folder, 'requests')
    const times = join(folder, 'times')
    await writeFile(file, requests.map((request) => `${request}\0`).join(''))
    const args = [port, connections, events].map(String)
    return new Watchers(await Program.start(scope, program, [...args, MARK, file, times]), times)
  }

  /** Starts the process and waits until each connection has the head of its response. */
  static async open(scope: Scope, options: Options): Promise<Watchers> {
    const watchers = await Watchers.start(scope, options)
    await watchers.#process.printed(/^ready$/m)
    return watchers
  }

  /** Calls `listener` each time that the first connection, or all of them, have received more events. */
  onProgress(listener: (who: 'first' | 'all', events: number) => void): void {
    let rest = ''
    this.#process.onOutput((text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [who, events] = line.split(' ')
        if (who === 'first' || who === 'all') listener(who, Number(events))
      }
    })
  }

  /** Waits until each connection has this many events. */
  async allHave(events: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onProgress((who, count) => {
        if (who === 'all' && count >= events) resolve()
      })
    })
  }

  /** Waits until every connection has the last event. */
  async done(): Promise<Delivery> {
    const output = await this.#process.done()
    const times = (await readFile(this.#times, 'utf8')).trimEnd().split('\n')
    const columns = times.map((line) => line.split(' ').map((us) => Number(us) / 1000))
    const [, bytes, began] = /^done (\d+) (\d+)$/m.exec(output) ?? []
    return {
      began: Number(began) / 1000,
      bytes: Number(bytes),
      first: columns.map(([first = 0]) => first),
      last: columns.map(([, last = 0]) => last),
    }
  }
}

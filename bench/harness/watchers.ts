import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from './program.js'
import type { Scope } from './scope.js'

/** The time of day in ms, with the fractions that `Date.now` has not: the clock of the watchers' figures. */
export const clock = (): number => performance.timeOrigin + performance.now()

/** Every event of the log holds this once, and so does what the peers send. */
const MARK = '{"part_number":"'

/** What the watchers saw: for each event, when the first and when the last of them had it, by `clock`. */
export interface Delivery {
  first: number[]
  last: number[]
  /** When the first of them began to connect. */
  began: number
  bytes: number
}

interface Options {
  /** The compiled `watchers.c`. */
  program: string
  port: number
  /** What the connections send, dealt out in turn. */
  requests: readonly string[]
  connections: number
  /** How many events each of them waits for; with 0 they idle. */
  events: number
}

/** Open connections that count their events, in a process of their own that is written in C. */
export class Watchers {
  readonly #process: Program
  readonly #times: string

  private constructor(process: Program, times: string) {
    this.#process = process
    this.#times = times
  }

  /** Starts to open the connections. */
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

  /** Starts them and waits until each has the head of its response. */
  static async open(scope: Scope, options: Options): Promise<Watchers> {
    const watchers = await Watchers.start(scope, options)
    await watchers.#process.printed(/^ready$/m)
    return watchers
  }

  /** Calls `listener` when the first of them has so many events, and when all have. */
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

  /** Waits until each of them has so many events. */
  async allHave(events: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onProgress((who, count) => {
        if (who === 'all' && count >= events) resolve()
      })
    })
  }

  /** Waits until the last of them has the last event. */
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

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createParser } from 'eventsource-parser'
import type { Test } from 'tap'
import type { Seen } from './watcher.js'

/** One of the clients in examples/ as a process with a bookmark file of its own. */
export class ClientProcess {
  stderr = ''
  #stdout = ''

  private constructor(
    readonly bookmark: string,
    child: ChildProcess,
  ) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
  }

  /**
   * Starts `program` with a file of examples/. It is killed, with its child processes, when the test ends.
   */
  static async start(
    t: Test,
    program: string,
    file: string,
    env: Record<string, string>,
  ): Promise<ClientProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-client-'))
    const path = fileURLToPath(new URL(`examples/${file}`, import.meta.resolve('#root')))
    const bookmark = join(folder, 'bookmark')
    const child = spawn(program, [path, bookmark], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    t.teardown(async () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
      await rm(folder, { recursive: true, force: true })
    })
    return new ClientProcess(bookmark, child)
  }

  /** The events that it printed as lines of JSON. */
  get lines(): Seen[] {
    return this.#stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Seen)
  }

  /** The events that it printed as a raw stream. */
  get frames(): Seen[] {
    const seen: Seen[] = []
    const parser = createParser({
      onEvent: ({ id = '', event: type = 'message', data }) =>
        seen.push({ id, type, data: JSON.parse(data) as Record<string, unknown> }),
    })
    parser.feed(this.#stdout)
    return seen
  }
}

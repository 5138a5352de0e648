import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const SERVER = fileURLToPath(new URL('../../server.js', import.meta.url))

/** The real service in a process of its own, as `npm start` runs it. */
export class Service {
  /** The address that it listens at; undefined if it ends before it listens. */
  readonly origin: Promise<string | undefined>
  readonly #process: ChildProcessByStdio<null, Readable, null>

  constructor(env: NodeJS.ProcessEnv) {
    this.#process = spawn(process.execPath, [SERVER], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface(this.#process.stdout)
    this.origin = new Promise((resolve) => {
      lines.on('line', (line) => {
        const origin = /^Silo is listening at (\S+)$/.exec(line)?.[1]
        if (origin === undefined) process.stdout.write(`${line}\n`)
        else resolve(origin)
      })
      lines.once('close', () => resolve(undefined))
    })
  }

  /** Sends SIGTERM. After Ctrl-C the service has received SIGINT as well, but it shuts down only once. */
  stop(): void {
    this.#process.kill('SIGTERM')
  }

  /** Waits until the process has ended. Returns its exit code. */
  ended(): Promise<number> {
    return new Promise((resolve) => {
      const { exitCode } = this.#process
      if (exitCode !== null) resolve(exitCode)
      else this.#process.once('exit', (code) => resolve(code ?? 1))
    })
  }
}

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const SERVER = fileURLToPath(new URL('../server.js', import.meta.url))

/** The service as it is, as a process of its own: what the demo shows is what `npm start` runs. */
export class Service {
  /** The address that it listens at; nothing when it ends before. */
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

  /** Asks it to end. It has heard a Ctrl-C in the terminal itself; told twice, it ends once. */
  stop(): void {
    this.#process.kill('SIGTERM')
  }

  /** Its exit code, when it has ended. */
  ended(): Promise<number> {
    return new Promise((resolve) => {
      const { exitCode } = this.#process
      if (exitCode !== null) resolve(exitCode)
      else this.#process.once('exit', (code) => resolve(code ?? 1))
    })
  }
}

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from './ports.js'
import { LISTENING, importing, spawnService } from './service.js'

/** One instance of the service. A caller that ends its process can start it again. */
export class Instance {
  #process: ChildProcess | undefined
  #log = ''
  #told = false
  /** When SIGTERM was last sent, by `performance.now()`. Streams must end with a whole frame after it. */
  askedToEndAt = -Infinity
  killedAt = -Infinity
  /** How often the process ended without a call of `end`. */
  crashes = 0

  private constructor(
    readonly name: string,
    readonly port: number,
    readonly env: Record<string, string>,
    readonly preloads: readonly string[],
  ) {}

  /** Starts the built service, which imports the modules `preloads` first. */
  static async start(name: string, env: Record<string, string>, ...preloads: string[]): Promise<Instance> {
    const instance = new Instance(name, await freePort(), env, preloads)
    await instance.start()
    return instance
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** The newest output of the process, for error reports. */
  get log(): string {
    return this.#log
  }

  #note(text: string): void {
    this.#log = (this.#log + text).slice(-20_000)
  }

  async start(): Promise<void> {
    const preloads = [new URL('clock.js', import.meta.url).href, ...this.preloads]
    const child = spawnService(
      { PORT: String(this.port), ...this.env },
      { nodeArgs: importing(preloads), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    )
    this.#process = child
    this.#told = false
    const listening = new Promise<void>((resolve, reject) => {
      let output = ''
      child.stdout?.on('data', (text: Buffer) => {
        this.#note(text.toString())
        output = (output + text.toString()).slice(-20_000)
        if (LISTENING.test(output)) resolve()
      })
      child.stderr?.on('data', (text: Buffer) => this.#note(text.toString()))
      child.once('exit', (code, signal) => {
        this.#note(`\n${this.name} ended: ${String(code ?? signal)}\n`)
        if (!this.#told) this.crashes++
        reject(new Error(`${this.name} ended while starting:\n${this.log}`))
      })
    })
    await listening
  }

  /** The process; undefined before the first start. */
  get process(): ChildProcess | undefined {
    return this.#process
  }

  get isRunning(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null
  }

  /** Returns the mode that the instance reports, or the reason why it could not be read. */
  async readMode(): Promise<string> {
    try {
      const response = await fetch(`${this.origin}/health`, { signal: AbortSignal.timeout(2000) })
      const body: unknown = await response.json()
      return typeof body === 'object' && body !== null && 'mode' in body ? String(body.mode) : 'of no mode'
    } catch (err) {
      return String(err)
    }
  }

  /**
   * Sends `signal` and waits for the end of the process. Returns its exit code, or null if a signal ended it.
   */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#process
    if (!child || !this.isRunning) return child?.exitCode ?? null
    this.#told = true
    if (signal === 'SIGTERM') this.askedToEndAt = performance.now()
    else this.killedAt = performance.now()
    child.kill(signal)
    await once(child, 'exit')
    return child.exitCode
  }

  /** Makes the clock of the process jump, forwards or backwards. */
  jumpClock(): void {
    this.#process?.kill('SIGWINCH')
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from './ports.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

/** One process of the service, started again by whoever killed it. */
export class Instance {
  #process: ChildProcess | undefined
  #log = ''
  #told = false
  /** When it was last asked to end, on the run's clock in ms: streams that it ends then must end whole. */
  askedToEndAt = -Infinity
  killedAt = -Infinity
  /** How often the process ended without having been told to. */
  crashes = 0

  private constructor(
    readonly name: string,
    readonly port: number,
    readonly env: Record<string, string>,
    readonly preloads: readonly string[],
  ) {}

  /** Starts the built service, which loads these modules first. */
  static async start(name: string, env: Record<string, string>, ...preloads: string[]): Promise<Instance> {
    const instance = new Instance(name, await freePort(), env, preloads)
    await instance.start()
    return instance
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What the process wrote at last, for when something is wrong with it. */
  get log(): string {
    return this.#log
  }

  #note(text: string): void {
    this.#log = (this.#log + text).slice(-20_000)
  }

  async start(): Promise<void> {
    const preloads = [new URL('clock.js', import.meta.url).href, ...this.preloads]
    const args = [...preloads.flatMap((preload) => ['--import', preload]), 'dist/server.js']
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { PATH: process.env.PATH, PORT: String(this.port), LOG_LEVEL: 'warn', ...this.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#process = child
    this.#told = false
    const listening = new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', (text: Buffer) => {
        this.#note(text.toString())
        if (text.includes('listening at')) resolve()
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

  /** The process, as far as it was started. */
  get process(): ChildProcess | undefined {
    return this.#process
  }

  get isRunning(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null
  }

  /** The mode that the instance says it is in; why not, where it doesn't. */
  async readMode(): Promise<string> {
    try {
      const response = await fetch(`${this.origin}/health`, { signal: AbortSignal.timeout(2000) })
      const body: unknown = await response.json()
      return typeof body === 'object' && body !== null && 'mode' in body ? String(body.mode) : 'of no mode'
    } catch (err) {
      return String(err)
    }
  }

  /** Ends the process by `signal`; gives back its exit code, null when it was killed. */
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

  /** Makes the process's clock jump, forwards or back. */
  jumpClock(): void {
    this.#process?.kill('SIGWINCH')
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Missing } from './missing.js'
import type { Scope } from './scope.js'
import { spawnService } from './service.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

/** How long a program may take to end after SIGTERM, in ms; then it is killed. */
const GRACE_MS = 5000
/**
 * How much of the newest output of a program is stored, in characters, for `printed` and for error messages.
 */
const KEPT = 64 * 1024

interface Options {
  /** Environment variables. Only PATH is inherited. */
  env?: Record<string, string>
  cwd?: string
  /** The user that it runs as, which only root can choose. */
  uid?: number | undefined
  gid?: number | undefined
}

const profileArgs = ({ settings: { profiles } }: Scope): string[] =>
  profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]

/** A process that ends with the scope in which it was started. */
export class Program {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #ended: Promise<void>
  readonly #waiting = new Set<() => void>()
  #output = ''

  private constructor(name: string, child: ChildProcess) {
    this.#name = name
    this.#child = child
    const keep = (text: Buffer) => {
      this.#output = (this.#output + text.toString()).slice(-KEPT)
      this.#wake()
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    this.#ended = new Promise((resolve) => {
      child.once('close', () => {
        resolve()
        this.#wake()
      })
    })
  }

  /**
   * Starts a program.
   * @throws {Missing} when it can't be run on this machine
   */
  static async start(
    scope: Scope,
    command: string,
    args: readonly string[],
    options: Options = {},
  ): Promise<Program> {
    const { env, cwd = ROOT, uid, gid } = options
    const child = spawn(command, args, {
      cwd,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
    })
    return Program.#adopt(scope, command, child)
  }

  /** @throws {Missing} when the process can't be started */
  static async #adopt(scope: Scope, name: string, child: ChildProcess): Promise<Program> {
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve).once('error', (err) => {
        reject(new Missing(`${name} can't be run here: ${err.message}`))
      })
    })
    // A program that has ended can't be written to. Its exit code says why it has ended.
    child.stdin?.on('error', () => undefined)
    const program = new Program(name, child)
    scope.defer(() => program.stop())
    return program
  }

  /** Starts the built service, with CPU profiles if the run wants them. */
  static service(
    scope: Scope,
    env: Record<string, string>,
    nodeArgs: readonly string[] = [],
  ): Promise<Program> {
    const child = spawnService(env, { nodeArgs: [...profileArgs(scope), ...nodeArgs] })
    return Program.#adopt(scope, 'the service', child)
  }

  /** Runs a built file of Silo with Node, with CPU profiles if the run wants them. */
  static node(scope: Scope, file: string, args: readonly string[] = [], env = {}): Promise<Program> {
    return Program.start(scope, process.execPath, [...profileArgs(scope), file, ...args], { env })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#name} has no process id`)
    return this.#child.pid
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The newest output. */
  get output(): string {
    return this.#output
  }

  /** Writes to the standard input of the program. */
  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  /** Calls `listener` with each chunk that the program prints. */
  onOutput(listener: (text: string) => void): void {
    this.#child.stdout?.on('data', (text: Buffer) => listener(text.toString()))
  }

  /**
   * Waits until the output matches `pattern`. Returns the first match.
   * @throws {Error} when the program ends without one
   */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output)
      if (found) return found
      if (!this.running) {
        await this.#ended
        const last = pattern.exec(this.#output)
        if (last) return last
        throw new Error(`${this.#name} ended without having printed ${String(pattern)}:\n${this.#output}`)
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /**
   * Waits until the program has ended. Returns its newest output.
   * @throws {Error} when its exit code is not 0
   */
  async done(): Promise<string> {
    await this.#ended
    if (this.#child.exitCode !== 0) {
      const how = String(this.#child.exitCode ?? this.#child.signalCode)
      throw new Error(`${this.#name} ended with ${how}:\n${this.#output}`)
    }
    return this.#output
  }

  /** Ends the program with SIGTERM, and with SIGKILL if that takes too long. */
  async stop(): Promise<void> {
    if (this.running) this.#child.kill('SIGTERM')
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), GRACE_MS)
    await this.#ended
    clearTimeout(kill)
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

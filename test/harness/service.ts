import { type ChildProcess, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from '../../tools/harness/eventually.js'
import { LISTENING, spawnService } from '../../tools/harness/service.js'

/** The built service as a process of its own as a test starts it. */
export class ServiceProcess {
  stdout = ''
  stderr = ''
  readonly #process: ChildProcess
  readonly #exited: Promise<number | NodeJS.Signals>

  constructor(env: Record<string, string>) {
    this.#process = spawnService(env)
    this.#process.stdout?.on('data', (text: Buffer) => (this.stdout += text.toString()))
    this.#process.stderr?.on('data', (text: Buffer) => (this.stderr += text.toString()))
    this.#exited = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => resolve(code ?? signal ?? 0))
    })
  }

  /** Resolves with the exit code of the process, or with the signal that killed it. */
  exit(): Promise<number | NodeJS.Signals> {
    return this.#exited
  }

  /** Its resident memory, in bytes. */
  get memory(): number {
    const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(this.#process.pid)])
    return Number(stdout.toString()) * 1024
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  send(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Sends the signal and waits for the exit. */
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.send(signal)
    return this.#exited
  }

  /**
   * Returns the address at which the service listens, as soon as it does. Throws if the service exits
   * instead.
   */
  url(): Promise<string> {
    return eventually('the service to listen', () => {
      if (!this.running) throw new Error(`the service ended:\n${this.stdout}${this.stderr}`)
      return LISTENING.exec(this.stdout)?.[1]
    })
  }
}

/**
 * Starts the service with only these variables. It is killed, by its id, when the test ends. `env` needs
 * `DATABASE_URL` and `JWT_SECRET`, or a `SILO_DATA_DIR` from `createDataDir`.
 */
export function startService(t: Test, env: Record<string, string>): ServiceProcess {
  const service = new ServiceProcess(env)
  t.teardown(() => service.running && service.kill('SIGKILL'))
  return service
}

/** Returns the process id of the embedded server on a data folder, from its pid file. */
export async function findPostmaster(dataDir: string): Promise<number | undefined> {
  const file = join(dataDir, 'cluster', 'data', 'postmaster.pid')
  const text = await readFile(file, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : Number(text.split('\n')[0])
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/**
 * Creates a folder for an embedded database. When the test ends it is removed, and a server that a killed
 * service left on it is stopped.
 */
export async function createDataDir(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-data-'))
  t.teardown(async () => {
    const postmaster = await findPostmaster(folder)
    if (postmaster !== undefined && isRunning(postmaster)) {
      process.kill(postmaster, 'SIGQUIT')
      await eventually('PostgreSQL to end', () => !isRunning(postmaster))
    }
    await rm(folder, { recursive: true, force: true })
  })
  return folder
}

/** Kills the embedded server on a data folder, and waits for its exit. */
export async function killPostmaster(dataDir: string): Promise<void> {
  const pid = await findPostmaster(dataDir)
  if (pid === undefined) throw new Error('no server is running')
  process.kill(pid, 'SIGKILL')
  await eventually('PostgreSQL to end', () => !isRunning(pid))
}

import { execFile } from 'node:child_process'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Programs, type Run, findAccount, findPrograms, findRunner } from '../embedded-programs.js'
import { freePort } from './ports.js'

const execute = promisify(execFile)

/** A PostgreSQL of this run's own, and what can be done to it. */
export class Postgres {
  private constructor(
    readonly folder: string,
    readonly port: number,
    readonly programs: Programs,
    readonly run: Run,
  ) {}

  static async start(): Promise<Postgres> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-chaos-'))
    const programs = await findPrograms()
    const account = await findAccount()
    if (account) await chown(folder, account.uid, account.gid)
    const run = await findRunner(account, programs.initdb, folder)
    const postgres = new Postgres(folder, await freePort(), programs, run)
    const data = postgres.#data
    await run(programs.initdb, [
      `--pgdata=${data}`,
      '--username=silo',
      '--auth=trust',
      '--encoding=UTF8',
      '--no-sync',
    ])
    await run(programs.pg_ctl, [
      'start',
      '-w',
      '-D',
      data,
      '-l',
      join(folder, 'log'),
      '-o',
      postgres.#options,
    ])
    return postgres
  }

  get #data(): string {
    return join(this.folder, 'data')
  }

  /** Crashes here are of the server, not of the machine; what it wrote is in the page cache and survives them. */
  get #options(): string {
    const settings = {
      port: this.port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'off',
    }
    return Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' ')
  }

  get url(): string {
    return `postgres://silo@127.0.0.1:${this.port}/postgres`
  }

  /** Restarts the server; it stays away for `awayMs`. */
  async restart(mode: 'fast' | 'immediate', awayMs = 0): Promise<void> {
    await this.run(this.programs.pg_ctl, ['stop', '-w', '-m', mode, '-D', this.#data])
    await delay(awayMs)
    await this.run(this.programs.pg_ctl, [
      'start',
      '-w',
      '-D',
      this.#data,
      '-l',
      join(this.folder, 'log'),
      '-o',
      this.#options,
    ])
  }

  /** Stops every process of the server in its tracks for `ms`, as a machine that swaps or a hypervisor that pauses. */
  async freeze(ms: number): Promise<void> {
    const processes = await this.#processes()
    for (const pid of processes) signal(pid, 'SIGSTOP')
    await delay(ms)
    for (const pid of processes) signal(pid, 'SIGCONT')
  }

  async stop(): Promise<void> {
    await this.run(this.programs.pg_ctl, ['stop', '-w', '-m', 'immediate', '-D', this.#data])
    await rm(this.folder, { recursive: true, force: true })
  }

  async #processes(): Promise<number[]> {
    const [pid] = (await readFile(join(this.#data, 'postmaster.pid'), 'utf8')).split('\n')
    const { stdout } = await execute('ps', ['-o', 'pid=', '--ppid', String(pid)])
    return [Number(pid), ...stdout.trim().split(/\s+/).filter(Boolean).map(Number)]
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'ESRCH')) throw err
  }
}

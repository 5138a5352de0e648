import { execFile } from 'node:child_process'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Account, type Run, findAccount, findPrograms, findRunner } from '../../embedded/programs.js'
import { freePort } from './ports.js'
import { findPostgresPrograms } from './postgres-programs.js'

const execute = promisify(execFile)

/** Data folder and port of a database server: the primary, or the standby that can take over. */
interface Site {
  data: string
  port: number
}

const addressOf = (sites: readonly Site[]): string =>
  `postgres://silo@${sites.map(({ port }) => `127.0.0.1:${port}`).join(',')}/postgres`

/** The PostgreSQL server of a run, with methods to stop, dump, restore and replace it. */
export class Postgres {
  #used: Site
  #spare: Site

  private constructor(
    readonly folder: string,
    /** Whether the programs for dumps, restores and standbys are installed. */
    readonly hasAllPrograms: boolean,
    readonly programs: string,
    readonly account: Account | undefined,
    readonly execute: Run,
    ports: [number, number],
  ) {
    this.#used = { data: join(folder, 'one'), port: ports[0] }
    this.#spare = { data: join(folder, 'two'), port: ports[1] }
  }

  /** Starts a server in a fresh folder. */
  static async start(): Promise<Postgres> {
    const folder = await mkdtemp(join(tmpdir(), 'silo-chaos-'))
    const all = findPostgresPrograms()
    const programs = all ?? join((await findPrograms()).initdb, '..')
    const account = await findAccount()
    if (account) await chown(folder, account.uid, account.gid)
    const run = await findRunner(account, join(programs, 'initdb'), folder)
    const ports: [number, number] = [await freePort(), await freePort()]
    const postgres = new Postgres(folder, all !== undefined, programs, account, run, ports)
    const options = ['--username=silo', '--auth=trust', '--encoding=UTF8', '--no-sync']
    await postgres.run('initdb', `--pgdata=${postgres.#used.data}`, ...options)
    await postgres.#start(postgres.#used)
    return postgres
  }

  /** The port of the current primary. */
  get port(): number {
    return this.#used.port
  }

  /** The connection URL of the current primary. */
  get url(): string {
    return addressOf([this.#used])
  }

  /** The connection URL that names both the primary and the standby that may take over. */
  get hostsUrl(): string {
    return addressOf([this.#used, this.#spare])
  }

  /** Runs one of PostgreSQL's programs as the account that owns the data. Returns its output. */
  run(program: string, ...args: string[]): Promise<string> {
    return this.execute(join(this.programs, program), args)
  }

  async #start({ data, port }: Site): Promise<void> {
    // No fsync: only the server crashes here, not the machine, so its writes survive in the page cache.
    const settings = {
      port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'off',
    }
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`)
    const log = join(this.folder, 'log')
    await this.run('pg_ctl', 'start', '-w', '-D', data, '-l', log, '-o', options.join(' '))
  }

  #stop({ data }: Site, mode: 'fast' | 'immediate'): Promise<string> {
    return this.run('pg_ctl', 'stop', '-w', '-m', mode, '-D', data)
  }

  /** Stops the primary and starts it again after `awayMs`. */
  async restart(mode: 'fast' | 'immediate', awayMs = 0): Promise<void> {
    await this.#stop(this.#used, mode)
    await delay(awayMs)
    await this.#start(this.#used)
  }

  /** Suspends every process of the primary for `ms`, as a swapping machine or a hypervisor can. */
  async freeze(ms: number): Promise<void> {
    const processes = await this.#processes()
    for (const pid of processes) signal(pid, 'SIGSTOP')
    await delay(ms)
    for (const pid of processes) signal(pid, 'SIGCONT')
  }

  /** Starts a standby of the primary from a base backup. */
  async startStandby(): Promise<void> {
    const { data } = this.#spare
    await rm(data, { recursive: true, force: true })
    const source = ['--checkpoint=fast', '--no-sync', '--write-recovery-conf', `--dbname=${this.url}`]
    await this.run('pg_basebackup', `--pgdata=${data}`, ...source)
    await this.#start(this.#spare)
  }

  /** Kills the primary, calls `inspect` with the URL of the standby, and promotes the standby to primary. */
  async failOver(inspect: (standbyUrl: string) => Promise<void>): Promise<void> {
    await this.#stop(this.#used, 'immediate')
    await inspect(addressOf([this.#spare]))
    await this.run('pg_ctl', 'promote', '-w', '-D', this.#spare.data)
    ;[this.#used, this.#spare] = [this.#spare, this.#used]
  }

  /** Writes a dump of the database without the schema `chaos`. Returns the ids of the events in it. */
  async dump(file: string): Promise<Set<number>> {
    await this.run('pg_dump', '--format=custom', '--exclude-schema=chaos', `--file=${file}`, this.url)
    const text = `${file}.events`
    await this.run('pg_restore', '--data-only', '--table=events', `--file=${text}`, file)
    const rows = await readFile(text, 'utf8')
    const [, begin = '', copied = ''] =
      /^copy public\.events \(([^)]+)\) from stdin;\n([^]*?)^\\\.$/im.exec(rows) ?? []
    const place = begin.split(', ').indexOf('id')
    const ids = copied
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => Number(line.split('\t')[place]))
    if (place < 0 || ids.some((id) => !Number.isInteger(id)))
      throw new Error('the ids of a dump can’t be read')
    return new Set(ids)
  }

  /** Replaces the content of the database with a dump, in one transaction. */
  async restore(file: string): Promise<void> {
    const how = ['--clean', '--if-exists', '--single-transaction', `--dbname=${this.url}`]
    await this.run('pg_restore', ...how, file)
  }

  async stop(): Promise<void> {
    await this.#stop(this.#used, 'immediate').catch(() => undefined)
    await this.#stop(this.#spare, 'immediate').catch(() => undefined)
    await rm(this.folder, { recursive: true, force: true })
  }

  async #processes(): Promise<number[]> {
    const [pid] = (await readFile(join(this.#used.data, 'postmaster.pid'), 'utf8')).split('\n')
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

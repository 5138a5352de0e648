import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { freePort } from '../../tools/harness/ports.js'
import { findPostgresPrograms } from '../../tools/harness/postgres-programs.js'

const execute = promisify(execFile)

/** Returns the account that PostgreSQL runs as: it refuses to run as root. */
async function findAccount(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => execute('id', [flag, 'postgres'])))
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
}

/**
 * A PostgreSQL server for one test, with the programs of an operator: dumps, base backups, standbys. It
 * is stopped when the test ends.
 */
export class PostgresServer {
  #port = 0

  private constructor(
    readonly programs: string,
    /** For the server's data, and other files that its account must be able to write. */
    readonly folder: string,
    readonly account: { uid: number; gid: number } | undefined,
  ) {}

  /** Prepares a server that is not started and has no data. */
  static async prepare(t: Test): Promise<PostgresServer> {
    const programs = findPostgresPrograms()
    if (programs === undefined) throw new Error('there is no PostgreSQL')
    const account = await findAccount()
    const folder = await mkdtemp(join(tmpdir(), 'silo-postgres-'))
    if (account) await chown(folder, account.uid, account.gid)
    const server = new PostgresServer(programs, folder, account)
    t.teardown(async () => {
      await server.stop('immediate').catch(() => undefined)
      await rm(folder, { recursive: true, force: true })
    })
    return server
  }

  static async start(t: Test, settings: Record<string, string> = {}): Promise<PostgresServer> {
    const server = await PostgresServer.prepare(t)
    await server.run('initdb', '--username=silo', '--auth=trust', '--encoding=UTF8', '--no-sync', server.data)
    await server.start(settings)
    return server
  }

  get data(): string {
    return join(this.folder, 'data')
  }

  url(database = 'postgres'): string {
    return `postgres://silo@127.0.0.1:${this.#port}/${database}`
  }

  /** Runs one of PostgreSQL's programs as the account that owns the data. */
  async run(program: string, ...args: string[]): Promise<string> {
    return this.#execute(join(this.programs, program), args)
  }

  /** Writes a file that belongs to the server's account. */
  async write(path: string, text = ''): Promise<void> {
    await writeFile(path, text)
    await this.own(path)
  }

  /** Makes the server's account the owner of a file, and the only one that can read and write it. */
  async own(path: string): Promise<void> {
    if (this.account) await chown(path, this.account.uid, this.account.gid)
    await chmod(path, 0o600)
  }

  async #execute(program: string, args: string[]): Promise<string> {
    const { stdout } = await execute(program, args, {
      ...this.account,
      cwd: this.folder,
      env: { LC_ALL: 'C' },
    })
    return stdout
  }

  /** Takes a base backup of a running server, from which a standby or a recovery starts. */
  async backUp(server: PostgresServer): Promise<void> {
    await this.run('pg_basebackup', `--dbname=${server.url()}`, `--pgdata=${this.data}`, '--checkpoint=fast')
  }

  /** Starts at the port of `server`, which has ended, so that its clients connect to this one. */
  async startInPlaceOf(server: PostgresServer, settings: Record<string, string> = {}): Promise<void> {
    this.#port = server.#port
    await this.start(settings)
  }

  /** Starts the server. It keeps its port when it is started again, so that clients reconnect. */
  async start(settings: Record<string, string> = {}): Promise<void> {
    this.#port ||= await freePort()
    const all = {
      port: String(this.#port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: 'off',
      ...settings,
    }
    const options = Object.entries(all).map(([name, value]) => `-c ${name}='${value}'`)
    const log = join(this.folder, 'log')
    try {
      await this.run('pg_ctl', 'start', '-w', '-D', this.data, '-l', log, '-o', options.join(' '))
    } catch {
      throw new Error(`PostgreSQL does not start:\n${await readFile(log, 'utf8')}`)
    }
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    await this.run('pg_ctl', 'stop', '-w', '-m', mode, '-D', this.data)
  }

  async promote(): Promise<void> {
    await this.run('pg_ctl', 'promote', '-w', '-D', this.data)
  }
}

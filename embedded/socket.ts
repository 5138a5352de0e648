import { chmod, chown, lstat, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account } from './programs.js'
import { StartError } from '../errors.js'

/** The port in the name of the socket's file; a Unix socket uses it for nothing else. */
export const SOCKET_PORT = 5432
const SOCKET_NAME = `.s.PGSQL.${SOCKET_PORT}`
/** Maximum length of a socket's path where `sun_path` is shortest (macOS), without its NUL, in bytes. */
const MAX_PATH_BYTES = 103

/** Whether PostgreSQL has Unix sockets on this platform. */
export const hasUnixSockets = process.platform !== 'win32'

const fits = (folder: string): boolean => Buffer.byteLength(join(folder, SOCKET_NAME)) <= MAX_PATH_BYTES

/** A folder for the server's Unix socket that only the server's account and root can enter. */
export interface SocketFolder {
  path: string
  /** Deletes the folder if it is outside the data folder. */
  remove(): Promise<void>
}

async function makeTemporary(account: Account | undefined): Promise<SocketFolder> {
  const isRoot = process.getuid?.() === 0
  const parents = [isRoot ? '/run' : process.env.XDG_RUNTIME_DIR, tmpdir(), '/tmp']
  for (const parent of parents) {
    if (parent === undefined || !fits(join(parent, 'silo-XXXXXX'))) continue
    const path = await mkdtemp(join(parent, 'silo-')).catch(() => undefined)
    if (path === undefined) continue
    if (account) await chown(path, account.uid, account.gid)
    return { path, remove: () => rm(path, { recursive: true, force: true }) }
  }
  throw new StartError(
    `no folder for the Unix socket of the database: its path may have at most ${MAX_PATH_BYTES} bytes, and ` +
      `${parents.filter(Boolean).join(', ')} can't be written to: set SILO_DATA_DIR to a shorter path`,
  )
}

/**
 * Creates the folder for the server's socket: in `parent` if the path is short enough for a socket, otherwise
 * in the system's folder for runtime or temporary files.
 * @throws {StartError} if no path is short enough and writable
 */
export async function makeSocketFolder(parent: string, account: Account | undefined): Promise<SocketFolder> {
  const path = join(parent, 'socket')
  if (!fits(path)) return makeTemporary(account)
  await mkdir(path, { recursive: true })
  await chmod(path, 0o700)
  if (account) await chown(path, account.uid, account.gid)
  return { path, remove: async () => undefined }
}

/** Whether only the server's account and root can have created a socket in the folder. */
export async function isPrivate(folder: string, account: Account | undefined): Promise<boolean> {
  const found = await lstat(folder).catch(() => undefined)
  const owner = account?.uid ?? process.getuid?.()
  return found !== undefined && found.isDirectory() && found.uid === owner && (found.mode & 0o077) === 0
}

/** Quotes a folder for the setting `unix_socket_directories`, which is a list. */
export const socketSetting = (folder: string): string => `"${folder.replaceAll('"', '""')}"`

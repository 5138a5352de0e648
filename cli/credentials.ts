import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Failure } from './failure.js'

const Login = Type.Object({ username: Type.String(), token_id: Type.String(), token: Type.String() })

const Credentials = Type.Object({
  /** The address of the latest sign-in: the default for commands without an address. */
  current: Type.Optional(Type.String()),
  /** The sign-ins by address. */
  logins: Type.Record(Type.String(), Login),
})
type Credentials = Static<typeof Credentials>
type Login = Static<typeof Login>

/**
 * The path of the file of sign-ins: SILO_CREDENTIALS, or `silo/credentials.json` in XDG_CONFIG_HOME, APPDATA
 * or `~/.config`.
 */
export function credentialsFile(env = process.env): string {
  if (env.SILO_CREDENTIALS) return env.SILO_CREDENTIALS
  const folder = env.XDG_CONFIG_HOME || env.APPDATA || join(homedir(), '.config')
  return join(folder, 'silo', 'credentials.json')
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/**
 * Reads the sign-ins: none if there is no file.
 * @throws {Failure} if the file can't be read or parsed
 */
export async function readCredentials(file = credentialsFile()): Promise<Credentials> {
  try {
    return Value.Parse(Credentials, JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    if (isMissing(error)) return { logins: {} }
    throw new Failure(`Failed to read ${file}: fix it, or delete it and sign in again.`)
  }
}

/**
 * Replaces the file atomically. The new file is created readable for its owner only, before anything is
 * written to it.
 */
async function write(credentials: Credentials, file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const unfinished = `${file}.${process.pid}`
  await writeFile(unfinished, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  await rename(unfinished, file)
}

/** Stores a sign-in, and makes its address the default. */
export async function keepLogin(url: string, login: Login, file = credentialsFile()): Promise<void> {
  const { logins } = await readCredentials(file)
  await write({ current: url, logins: { ...logins, [url]: login } }, file)
}

/** Removes the sign-in at this address. */
export async function forgetLogin(url: string, file = credentialsFile()): Promise<void> {
  const { current, logins } = await readCredentials(file)
  const left = Object.fromEntries(Object.entries(logins).filter(([known]) => known !== url))
  await write({ ...(current !== undefined && current !== url && { current }), logins: left }, file)
}

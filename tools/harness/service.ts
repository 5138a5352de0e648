import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

/** What the service prints when it listens, and at which address. */
export const LISTENING = /^Silo is listening at (\S+)$/m

/** The limits of an operator who expects this many subscribers from one address. */
export const MANY_CLIENTS = {
  SSE_MAX_CLIENTS: '20000',
  SSE_MAX_CLIENTS_PER_USER: '20000',
  SSE_MAX_CLIENTS_PER_ADDRESS: '20000',
}

/**
 * Starts the built service (`npm run build` first) as a process, on a free port unless `env` has a PORT.
 * @param env its environment variables; only PATH is inherited
 */
export function spawnService(
  env: NodeJS.ProcessEnv,
  {
    nodeArgs = [],
    stdio = ['ignore', 'pipe', 'pipe'],
  }: { nodeArgs?: readonly string[]; stdio?: StdioOptions } = {},
): ChildProcess {
  return spawn(process.execPath, [...nodeArgs, 'dist/server.js'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, PORT: '0', LOG_LEVEL: 'warn', ...env },
    stdio,
  })
}

/** Returns Node's arguments that import these modules before the program. */
export const importing = (modules: readonly string[]): string[] =>
  modules.flatMap((module) => ['--import', module])

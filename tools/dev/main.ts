/** `npm run dev`: rebuilds on every change of a source file, and restarts the service. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runOnChange } from './run-on-change.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))
const TSC = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

const builds = ['-p tsconfig.build.json', '-b web'].map((project) =>
  spawn(process.execPath, [TSC, ...project.split(' '), '--watch', '--preserveWatchOutput'], {
    cwd: ROOT,
    stdio: 'inherit',
  }),
)
await runOnChange({
  cwd: ROOT,
  program: ['dist/server.js'],
  // The service reads the HTML and the style sheets of the pages from their source.
  folders: ['dist', 'web', 'migrations'],
  names: /\.(?:js|html|css|svg|sql)$/,
  signal: stop.signal,
})
for (const build of builds) build.kill()

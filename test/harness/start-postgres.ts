import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// A separate process without tap's coverage, which would measure it, and without pipes to tap's reporter,
// which would wait until they are closed.
const keeper = fork(fileURLToPath(new URL('keep-postgres.js', import.meta.url)), [String(process.ppid)], {
  env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' },
  stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  detached: true,
})
let complaint = ''
keeper.stderr?.on('data', (text: Buffer) => (complaint += text.toString()))
const outcome: unknown[] = await Promise.race([once(keeper, 'message'), once(keeper, 'exit')])
t.equal(outcome[0], 'ready', 'the template database is migrated', { complaint })
if (keeper.connected) keeper.disconnect()
keeper.stderr?.destroy()
keeper.unref()

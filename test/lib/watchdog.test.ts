import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { eventually } from '../../tools/harness/eventually.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

/** Starts a process that runs `script`, with a watchdog timeout of half a second. */
function start(t: Test, script: string, args: string[] = []): { child: ChildProcess; output: () => string } {
  const lines = `import { startWatchdog } from './dist/lib/watchdog.js'; startWatchdog(500); ${script}`
  const child = spawn(process.execPath, [...args, '--input-type=module', '-e', lines], {
    cwd: ROOT,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (text += bytes.toString()))
  return { child, output: () => text }
}

t.test('a process whose event loop is blocked is ended, and prints the blocking stack', async (t) => {
  for (const [name, body] of [
    ['loopForEver', 'for (;;);'],
    ['backtrack', `/^(a|a)*$/.test('a'.repeat(60) + 'x')`],
    ['waitForEver', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'],
  ] as const) {
    const { child, output } = start(t, `setTimeout(function ${name}() { ${body} }, 200)`)
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    t.equal(code ?? signal, 'SIGKILL', name)
    t.match(output(), /the event loop has stood still for 0.5 s: ending the process\n/)
    t.match(output(), new RegExp(`at .*${name}`), 'with its stack')
  }
})

t.test('a process that is busy in short pieces, or was suspended, is not ended', async (t) => {
  const busy = `
    let pieces = 0
    const step = () => {
      const until = Date.now() + 100
      while (Date.now() < until);
      if (++pieces < 20) setTimeout(step, 50)
      else console.log('done'), process.exit(0)
    }
    console.log('begun')
    step()`
  const { child, output } = start(t, busy)
  await eventually('it has begun', () => output().includes('begun'))
  child.kill('SIGSTOP')
  const resumed = Date.now() + 1500
  await eventually('it was suspended for longer than the timeout', () => Date.now() > resumed)
  child.kill('SIGCONT')
  const [code] = (await once(child, 'close')) as [number | null]
  t.equal(code, 0, output())
  t.match(output(), 'done')
})

t.test('a process with a debugger is not ended, and the watchdog keeps no idle process alive', async (t) => {
  const debugged = start(
    t,
    'setTimeout(() => { const until = Date.now() + 2000; while (Date.now() < until); ' +
      `console.log('done'); process.exit(0) }, 300)`,
    ['--inspect=127.0.0.1:0'],
  )
  const [code] = (await once(debugged.child, 'close')) as [number | null]
  t.equal(code, 0, debugged.output())
  const [idle] = (await once(start(t, '').child, 'close')) as [number | null]
  t.equal(idle, 0)
})

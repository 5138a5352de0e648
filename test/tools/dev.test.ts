import type { ChildProcess } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { runOnChange } from '../../tools/dev/run-on-change.js'
import { eventually } from '../../tools/harness/eventually.js'

/** A program that appends `text` to the file `starts`, and ends on SIGTERM with another entry. */
const programOf = (text: string): string => `
  import { appendFileSync } from 'node:fs'
  appendFileSync('starts', '${text}\\n')
  process.on('SIGTERM', () => {
    appendFileSync('starts', '${text} ended\\n')
    process.exit()
  })
  setInterval(() => undefined, 1000)
`

t.test('a program is started again when a file changes, also after it has ended by itself', async (t) => {
  const cwd = t.testdir({ dist: { inner: { 'program.mjs': programOf('one') } } })
  const file = join(cwd, 'dist/inner/program.mjs')
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const children: ChildProcess[] = []
  const running = runOnChange({
    cwd,
    program: ['dist/inner/program.mjs'],
    folders: ['dist'],
    names: /\.mjs$/,
    signal: stop.signal,
    onStart: (child) => children.push(child),
  })
  const starts = (expected: string) =>
    eventually(expected, async () => (await readFile(join(cwd, 'starts'), 'utf8')) === expected, {
      retryErrors: true,
    })
  await starts('one\n')
  await writeFile(file, programOf('two'))
  await starts('one\none ended\ntwo\n')
  children[1]?.kill('SIGKILL')
  await eventually('the program has ended', () => children[1]?.signalCode === 'SIGKILL')
  await writeFile(file, programOf('three'))
  await starts('one\none ended\ntwo\nthree\n')
  stop.abort()
  await running
  await starts('one\none ended\ntwo\nthree\nthree ended\n')
  t.equal(children.length, 3)
})

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { MUTANTS, POLL_OFF, REPORTED } from '../../tools/chaos/mutants/mutants.js'

const execute = promisify(execFile)
const DIST = new URL('dist/', import.meta.resolve('#root'))
const hrefOf = (path: string): string => new URL(path, DIST).href

/**
 * Imports `module` in a process that has loaded these mutants.
 * @returns whether it got the mutant, and the names of the exports that are missing or differ from those of
 * the original module
 */
async function compare(module: string, mutant: string, mutants: readonly string[]) {
  const preload = new URL('tools/chaos/mutants/load.js', DIST)
  for (const name of mutants) preload.searchParams.append('mutant', name)
  const script = `
    const loaded = await import(${JSON.stringify(hrefOf(module))})
    const genuine = await import(${JSON.stringify(`${hrefOf(module)}?genuine`)})
    const mutant = await import(${JSON.stringify(hrefOf(`tools/chaos/mutants/${mutant}`))})
    const names = Object.keys(genuine)
    console.log(JSON.stringify({
      isMutant: loaded === mutant,
      missing: names.filter((name) => !(name in loaded)),
      changed: names.filter((name) => String(loaded[name]) !== String(genuine[name])),
    }))`
  const args = ['--import', preload.href, '--input-type=module', '--eval', script]
  const { stdout } = await execute(process.execPath, args)
  return JSON.parse(stdout) as { isMutant: boolean; missing: string[]; changed: string[] }
}

for (const { name, fault, swap } of MUTANTS) {
  if (!swap) continue
  const { module, mutant } = swap
  t.test(`the mutant ${name} replaces ${module}: ${fault}`, async (t) => {
    const swapped = await compare(module, mutant, [POLL_OFF.name, name])
    t.equal(swapped.isMutant, true, 'an import of the module gets the mutant')
    t.strictSame(swapped.missing, [], 'the mutant has all exports of the module')
    t.equal(swapped.changed.length, 1, 'exactly one export differs')
    const control = await compare(module, mutant, [])
    t.equal(control.isMutant, false)
    t.strictSame(control.changed, [])
  })
}

t.test('no two mutants replace the same module, and each changes something', (t) => {
  const modules = MUTANTS.flatMap(({ swap }) => swap?.module ?? [])
  t.strictSame([...new Set(modules)], modules)
  for (const { name, swap, sabotage } of REPORTED) t.ok(swap ?? sabotage, name)
  t.end()
})

t.test('an unknown mutant is refused', async (t) => {
  const preload = `${hrefOf('tools/chaos/mutants/load.js')}?mutant=nonsense`
  const started = execute(process.execPath, ['--import', preload, '--eval', ''])
  await t.rejects(started, /no mutant is named nonsense/)
})

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { MUTANTS, POLL_OFF, REPORTED } from '../chaos/mutants/mutants.js'

const execute = promisify(execFile)
const DIST = new URL('dist/', import.meta.resolve('#root'))
const hrefOf = (path: string): string => new URL(path, DIST).href

/** The names that two modules export, and of those the ones that differ, as a process sees it that loaded the mutants first. */
async function compare(module: string, mutant: string, mutants: readonly string[]) {
  const preload = new URL('chaos/mutants/load.js', DIST)
  for (const name of mutants) preload.searchParams.append('mutant', name)
  const script = `
    const loaded = await import(${JSON.stringify(hrefOf(module))})
    const genuine = await import(${JSON.stringify(`${hrefOf(module)}?genuine`)})
    const mutant = await import(${JSON.stringify(hrefOf(`chaos/mutants/${mutant}`))})
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
  t.test(`the mutant ${name} takes the place of ${module}: ${fault}`, async (t) => {
    const swapped = await compare(module, mutant, [POLL_OFF.name, name])
    t.equal(swapped.isMutant, true, 'whoever imports the module gets the mutant')
    t.strictSame(swapped.missing, [], 'with all that the module exports')
    t.equal(swapped.changed.length, 1, 'and one export is another')
    const control = await compare(module, mutant, [])
    t.equal(control.isMutant, false)
    t.strictSame(control.changed, [])
  })
}

t.test('no two mutants swap the same module, and each changes something', (t) => {
  const modules = MUTANTS.flatMap(({ swap }) => swap?.module ?? [])
  t.strictSame([...new Set(modules)], modules)
  for (const { name, swap, sabotage } of REPORTED) t.ok(swap ?? sabotage, name)
  t.end()
})

t.test('a name that no mutant has is refused', async (t) => {
  const preload = `${hrefOf('chaos/mutants/load.js')}?mutant=nonsense`
  const started = execute(process.execPath, ['--import', preload, '--eval', ''])
  await t.rejects(started, /no mutant is named nonsense/)
})

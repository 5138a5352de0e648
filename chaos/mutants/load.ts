/** Preloaded with `node --import`: swaps the modules of the mutants that the `mutant` parameters of its address name. */
import { register } from 'node:module'
import { MUTANTS, swapsOf } from './mutants.js'

const names = new URL(import.meta.url).searchParams.getAll('mutant')
const unknown = names.find((name) => !MUTANTS.some((mutant) => mutant.name === name))
if (unknown !== undefined) throw new Error(`no mutant is named ${unknown}`)
register('./hooks.js', import.meta.url, { data: swapsOf(MUTANTS.filter(({ name }) => names.includes(name))) })

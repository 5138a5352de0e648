/** Preloaded with `node --import`. Its URL names the mutants to apply, in `mutant` parameters. */
import { register } from 'node:module'
import { MUTANTS, swapsOf } from './mutants.js'

const names = new URL(import.meta.url).searchParams.getAll('mutant')
const unknown = names.find((name) => !MUTANTS.some((mutant) => mutant.name === name))
if (unknown !== undefined) throw new Error(`no mutant is named ${unknown}`)
register('./hooks.js', import.meta.url, { data: swapsOf(MUTANTS.filter(({ name }) => names.includes(name))) })

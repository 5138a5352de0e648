import type { InitializeHook, ResolveHook } from 'node:module'

/** Maps the URL of a module to the URL of the module that replaces it. */
export type Swaps = ReadonlyMap<string, string>

let swaps: Swaps = new Map()

/** Receives the replacements from `load.ts`. */
export const initialize: InitializeHook<Swaps> = (given) => {
  swaps = given
}

/** Resolves a replaced module to its mutant. The mutant itself gets the genuine module, which it extends. */
export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(specifier, context)
  const mutant = swaps.get(resolved.url)
  return mutant === undefined || mutant === context.parentURL ? resolved : { ...resolved, url: mutant }
}

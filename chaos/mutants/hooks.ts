import type { InitializeHook, ResolveHook } from 'node:module'

/** Addresses of modules, and of the module that takes the place of each. */
export type Swaps = ReadonlyMap<string, string>

let swaps: Swaps = new Map()

export const initialize: InitializeHook<Swaps> = (given) => {
  swaps = given
}

/** Loads the mutant wherever a module is imported, except for the mutant itself: that is written on top of the genuine one. */
export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(specifier, context)
  const mutant = swaps.get(resolved.url)
  return mutant === undefined || mutant === context.parentURL ? resolved : { ...resolved, url: mutant }
}

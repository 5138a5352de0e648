import type { Sql } from '../../store/connect.js'
import type { Swaps } from './hooks.js'

/** A way to make the service wrong that has cost other services events. */
export interface Mutant {
  name: string
  /** What is wrong, as a sentence. */
  fault: string
  /** The module that is replaced, from the project's root, and its replacement here, which exports the same. */
  swap?: { module: string; mutant: string }
  /** Changes the database after the migrations. */
  sabotage?: (sql: Sql) => Promise<unknown>
}

/** Without its poll, the service finds a lost notification only by the rule that the other mutants break. */
export const POLL_OFF: Mutant = {
  name: 'poll-off',
  fault: 'the log is not read without a notification',
  swap: { module: 'feed/poll.js', mutant: 'poll-off.js' },
}

/** The checker must report each of these. */
export const REPORTED: readonly Mutant[] = [
  {
    name: 'naive-gaps',
    fault: 'a gap in the ids is skipped although a transaction may still fill it',
    swap: { module: 'store/events.js', mutant: 'naive-gaps.js' },
  },
  {
    name: 'deaf-listener',
    fault: 'a new listening session does not read the log again',
    swap: { module: 'store/pool.js', mutant: 'deaf-listener.js' },
  },
  {
    name: 'late-writes',
    fault: 'time passes between the slice of a connection and its write',
    swap: { module: 'feed/connection.js', mutant: 'late-writes.js' },
  },
  {
    name: 'forgetful-trigger',
    fault: 'the trigger that writes the log forgets changes',
    sabotage: (sql) =>
      sql.unsafe(`
        drop trigger items_log on items;
        create constraint trigger items_log after insert on items
          deferrable initially deferred for each row execute function items_log();
      `),
  },
]

export const MUTANTS: readonly Mutant[] = [POLL_OFF, ...REPORTED]

const ROOT = new URL('../../', import.meta.url)

/** The modules that these mutants swap, by their addresses. */
export function swapsOf(mutants: readonly Mutant[]): Swaps {
  return new Map(
    mutants.flatMap(({ swap }) =>
      swap ? [[new URL(swap.module, ROOT).href, new URL(swap.mutant, import.meta.url).href]] : [],
    ),
  )
}

/** What `node --import` is given to make a process of the service those mutants. */
export function preloadOf(mutants: readonly Mutant[]): string {
  const preload = new URL('load.js', import.meta.url)
  for (const { name } of mutants) preload.searchParams.append('mutant', name)
  return preload.href
}

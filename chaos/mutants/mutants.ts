import type { Sql } from '../../store/connect.js'
import type { Swaps } from './hooks.js'

/** A way to make the service wrong that has cost other services events. */
export interface Mutant {
  name: string
  /** What is wrong, as a sentence. */
  fault: string
  /** The module that is replaced, from the project's root, and its replacement here, which exports the same. */
  swap?: { module: string; mutant: string }
  /** The faults that bring it to light, where not every one does. */
  faults?: readonly string[]
  /** The kinds of clients that others wrote that bring it to light. */
  clients?: readonly string[]
  /** Whether ids are lost in the log; by the seed, if not given. */
  leavesHoles?: boolean
  /** How long its run takes at most, in seconds, where only its end matters. */
  seconds?: number
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
    faults: ['listening backends killed'],
    seconds: 2,
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
  {
    name: 'any-position',
    fault: 'the check of a cursor is ignored',
    swap: { module: 'feed/cursor.js', mutant: 'any-position.js' },
    faults: ['backup restored'],
  },
  {
    name: 'reseeding-promotion',
    fault: 'a promotion gives the log another epoch although no id is missing',
    faults: ['standby promoted'],
    leavesHoles: false,
    sabotage: (sql) =>
      sql.unsafe(`
        create function reseed() returns trigger language plpgsql as $$
        begin
          new.seed := gen_random_uuid();
          return new;
        end $$;
        create trigger reseed before update of timeline on event_log for each row execute function reseed();
      `),
  },
  {
    name: 'always-writable',
    fault: 'a database that takes no writes is not noticed',
    swap: { module: 'store/server.js', mutant: 'always-writable.js' },
    faults: ['database made read-only'],
  },
  {
    name: 'strong-tags-only',
    fault: 'an entity tag that a proxy has weakened is refused',
    swap: { module: 'lib/entity-tags.js', mutant: 'strong-tags-only.js' },
    faults: ['compressing proxy restarted'],
  },
  {
    name: 'since-first',
    fault: 'a client is believed by its address rather than by its last id',
    swap: { module: 'lib/cursor-parameters.js', mutant: 'since-first.js' },
    faults: ['instance killed (SIGKILL)', 'instance ended (SIGTERM)'],
    clients: ['eventsource', 'fetch-event-source'],
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

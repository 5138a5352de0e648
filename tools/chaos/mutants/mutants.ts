import type { Sql } from '../../../store/driver/connect.js'
import type { Swaps } from './hooks.js'

/** A deliberate fault of the service, of a kind that has lost events in other services. */
export interface Mutant {
  name: string
  /** What is wrong, as a sentence. */
  fault: string
  /** The replaced module, relative to the project's root, and its replacement here, with the same exports. */
  swap?: { module: string; mutant: string }
  /** Names of the faults that expose it; all faults if not given. */
  faults?: readonly string[]
  /** Kinds of third-party clients that expose it; none if not given. */
  clients?: readonly string[]
  /** Whether the run leaves ids missing in the log. By default, the seed decides. */
  leavesHoles?: boolean
  /** Maximum length of a run in seconds, where only the end of the run matters. */
  seconds?: number
  /** Changes the database after the migrations. */
  sabotage?: (sql: Sql) => Promise<unknown>
}

/**
 * Turns off the poll of the log, which would make up for lost notifications and so hide other mutants. It is
 * part of every run; a run with it alone must find no problem.
 */
export const POLL_OFF: Mutant = {
  name: 'poll-off',
  fault: 'the log is not read without a notification',
  swap: { module: 'feed/poll.js', mutant: 'poll-off.js' },
}

/** The mutants that the checker must report. */
export const REPORTED: readonly Mutant[] = [
  {
    name: 'naive-gaps',
    fault: 'a gap in the ids is skipped although a transaction may still fill it',
    swap: { module: 'store/events.js', mutant: 'naive-gaps.js' },
  },
  {
    name: 'deaf-listener',
    fault: 'a new listening connection does not read the log again',
    swap: { module: 'store/driver/pool.js', mutant: 'deaf-listener.js' },
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
    fault: 'the trigger that writes the log omits changes',
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
    fault: 'a read-only database is not detected',
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
    fault: '`since` in the address overrides `Last-Event-ID`',
    swap: { module: 'lib/cursor-parameters.js', mutant: 'since-first.js' },
    faults: ['instance killed (SIGKILL)', 'instance ended (SIGTERM)'],
    clients: ['eventsource', 'fetch-event-source'],
  },
]

/** All mutants, the one without the poll of the log included. */
export const MUTANTS: readonly Mutant[] = [POLL_OFF, ...REPORTED]

const ROOT = new URL('../../../', import.meta.url)

/** Returns the URLs of the modules that the mutants replace, with the URLs of their replacements. */
export function swapsOf(mutants: readonly Mutant[]): Swaps {
  return new Map(
    mutants.flatMap(({ swap }) =>
      swap ? [[new URL(swap.module, ROOT).href, new URL(swap.mutant, import.meta.url).href]] : [],
    ),
  )
}

/** Returns the argument of `node --import` that applies the mutants to a process of the service. */
export function preloadOf(mutants: readonly Mutant[]): string {
  const preload = new URL('load.js', import.meta.url)
  for (const { name } of mutants) preload.searchParams.append('mutant', name)
  return preload.href
}

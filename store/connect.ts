import postgres from 'postgres'

/** Ids of the log are drawn one by one from 1, so a double holds every one that will ever exist (2^53). */
const types = { int8: { to: 20, from: [20], parse: Number, serialize: String } }

/** A pool, or the connection of a transaction: what every store function takes as its first argument. */
export type Sql = postgres.Sql<{ int8: number }>

/**
 * Opens a pool of at most `max` connections; the first query connects. A lost server is tried again after a constant
 * short while: the library's growing back-off would keep the service degraded for up to 20 s after the server is back.
 */
export function connect(url: string, max: number): Sql {
  return postgres(url, {
    max,
    types,
    connect_timeout: 5,
    backoff: () => 0.25,
    onnotice: () => undefined,
    connection: { application_name: 'silo' },
  })
}

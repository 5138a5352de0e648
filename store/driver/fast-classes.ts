import type { Sql } from './connect.js'

/**
 * Lets V8 optimise the driver's classes of queries and results. Both have a static accessor
 * (`Symbol.species`), so V8 keeps their properties in dictionary mode, and it never optimises the constructor
 * of a class that extends such a class. The functions that the constructor assigns are then allocated in the
 * old generation, so each query outlives its result, with all of its rows, until the next full collection
 * (docs/decisions/0015). Using an object as a prototype switches it to V8's fast-properties mode.
 * @throws {TypeError} when the driver's classes have changed
 */
export async function makeClassesFast(sql: Sql): Promise<void> {
  const query = sql`select 1`
  const result = await query
  for (const { constructor } of [query, result]) {
    const child = Object.create(constructor) as { name: unknown }
    if (typeof child.name !== 'string') throw new TypeError('the driver has changed')
  }
}

import type { Sql } from './connect.js'

/**
 * Lets V8 optimise the driver's classes of queries and answers. They have a static accessor and so are tables of properties to
 * it, and such a class that is derived from another never has its constructor optimised. As long as it is not, a query outlives
 * its answer with all of its rows, until the next full collection (docs/decisions/0015). What is looked at as a prototype, V8 turns into fixed places.
 */
export async function makeClassesFast(sql: Sql): Promise<void> {
  const question = sql`select 1`
  const answer = await question
  for (const { constructor } of [question, answer]) {
    const heir = Object.create(constructor) as { name: unknown }
    if (typeof heir.name !== 'string') throw new TypeError('the driver has changed')
  }
}

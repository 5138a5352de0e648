import { randomUUID } from 'node:crypto'
import pLimit from 'p-limit'
import postgres from 'postgres'
import { batched } from '../lib/batch.js'
import { findExactNumbers, stringifyJson } from '../lib/json.js'
import { ApiError } from '../errors.js'
import type { Item, NewItem } from '../schemas/items.js'
import { type Author, context, rightError } from './author.js'
import type { Sql } from './driver/connect.js'
import { eachField, fieldColumns, fieldDefinitions } from './item-fields.js'
import { columns, hasNumber, refuseNumbers } from './items.js'

/** Max items created by one statement. */
const MAX_BATCH_SIZE = 32
/** How long a shared statement waits for a lock, in ms. After that, each of its items is created alone. */
const SHARED_LOCK_TIMEOUT_MS = 100
/**
 * Max concurrent single-item inserts. One that waits for a lock occupies a pooled connection, and delays the
 * queries that are sent over the same connection.
 */
const MAX_ALONE = 3
/**
 * How long a create may wait in the queue, in ms: less than the request timeout, so that no insert begins
 * after its request has timed out.
 */
const QUEUE_TIMEOUT_MS = 10_000
/**
 * Attempts to insert a generated part number. Each one may lose to a concurrent create that names the same
 * number.
 */
const CREATE_ATTEMPTS = 5

/** The given value of each field, or the initial one. */
const valueOrInitial = eachField(({ name, initial }) => `coalesce(${name}, ${initial})`)

/** An item to be created. */
interface Draft {
  /** Chosen before the insert, to match the rows of a shared statement to their drafts. */
  id: string
  item: NewItem
  author: Author
  /** When the create was requested, by `performance.now`. */
  requestedAt: number
}

/** Whether the draft has exceeded the queue timeout. */
const hasTimedOut = ({ requestedAt }: Draft): boolean => performance.now() - requestedAt > QUEUE_TIMEOUT_MS

/**
 * Inserts the items whose part numbers are free, and returns them; the others are missing from the result.
 * Every statement inserts in the same order, so two of them wait for each other instead of ending in a
 * deadlock.
 * @param lockTimeoutMs how long the statement waits for a lock; by default, as long as any other write
 */
async function insertItems(
  sql: Sql,
  drafts: Draft[],
  author: Author,
  lockTimeoutMs?: number,
): Promise<Item[]> {
  const rows = drafts.map(({ id, item }) => ({ ...item, id }))
  return sql<Item[]>`
    with ${context(sql, author, lockTimeoutMs)},
    input as materialized (
      select *
        from json_to_recordset(${stringifyJson(rows)}::text::json) as input (
          id uuid, part_number text, category text, ${fieldDefinitions(sql)}
        )
    )
    insert into items (id, part_number, ${fieldColumns(sql)})
    select id, coalesce(part_number, next_part_number(category)),
           ${valueOrInitial(sql)}
      from context, input
     order by category nulls first, lower(part_number)
        on conflict (lower(part_number)) do nothing
    returning ${columns(sql)}
  `
}

/**
 * Whether the server rejected the statement, which rolls back all of it. After any other error, such as a
 * lost connection, the items may have been written.
 */
const isRefused = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && error.severity === 'ERROR'

/**
 * The created item; an Error if the create was refused or its outcome is unknown; undefined if the item must
 * be retried alone.
 */
type Outcome = Item | Error | undefined

/** Inserts the drafts of one author with one statement. Returns the outcomes by the ids of the drafts. */
async function insertOf(sql: Sql, drafts: Draft[], author: Author): Promise<[string, Outcome][]> {
  try {
    return (await insertItems(sql, drafts, author, SHARED_LOCK_TIMEOUT_MS)).map((item) => [item.id, item])
  } catch (error) {
    const refusal = rightError(error)
    if (!refusal && isRefused(error)) return []
    const reason =
      refusal ??
      (error instanceof Error ? error : new Error('the items may not have been created', { cause: error }))
    return drafts.map(({ id }) => [id, reason])
  }
}

/**
 * Inserts a batch of drafts with one statement for each author and comment, because both are settings of the
 * whole statement. Drafts that have exceeded the queue timeout are refused.
 */
async function insertTogether(sql: Sql, drafts: readonly Draft[]): Promise<Outcome[]> {
  const outcomes = new Map<string, Outcome>()
  const authors = new Map<string, { author: Author; drafts: Draft[] }>()
  for (const draft of drafts) {
    if (hasTimedOut(draft)) {
      outcomes.set(draft.id, new ApiError('overloaded'))
      continue
    }
    const { author } = draft
    const key = JSON.stringify([author.token_id, author.comment])
    const same = authors.get(key) ?? { author, drafts: [] }
    same.drafts.push(draft)
    authors.set(key, same)
  }
  const written = [...authors.values()].map(({ author, drafts }) => insertOf(sql, drafts, author))
  for (const [id, outcome] of (await Promise.all(written)).flat()) outcomes.set(id, outcome)
  return drafts.map(({ id }) => outcomes.get(id))
}

/** Returns the error for a part number that is taken, and says if an archived item has it. */
async function partNumberTaken(sql: Sql, partNumber: string): Promise<ApiError> {
  const [item] = await sql<{ part_number: string; archived: boolean }[]>`
    select part_number, archived_at is not null as archived
      from items
     where ${hasNumber(sql, partNumber)}
  `
  return new ApiError('part_number_taken', {
    ...(item?.archived && {
      message: `The part number ${item.part_number} belongs to an archived item and stays reserved.`,
    }),
    details: [{ field: 'part_number', message: item?.archived ? 'belongs to an archived item' : 'is taken' }],
  })
}

/**
 * Returns a function that creates an item with the given part number, or with the next free one of its
 * category.
 *
 * Creates that arrive while a statement is running share the next statement and its commit, which is most of
 * the cost of a create (docs/decisions/0017). An item that can't be created by a shared statement is retried
 * alone: so an error concerns only the item that causes it, and a lock delays only the items that need it.
 *
 * The function throws {ApiError} `part_number_taken`; `overloaded` after the queue timeout; `invalid_request`
 * for numbers that a double can't represent; `unauthenticated` or `forbidden` when the credential has lost
 * its right.
 * @param database returns the current pool
 */
export function itemCreator(database: () => Sql): (item: NewItem, author: Author) => Promise<Item> {
  const create = batched((drafts: readonly Draft[]) => insertTogether(database(), drafts), {
    maxBatchSize: MAX_BATCH_SIZE,
    paceMs: 0,
  })
  const alone = pLimit(MAX_ALONE)

  async function createAlone(draft: Draft): Promise<Item> {
    const { part_number } = draft.item
    for (let attempt = 1; attempt <= CREATE_ATTEMPTS; attempt++) {
      if (hasTimedOut(draft)) throw new ApiError('overloaded')
      const [item] = await insertItems(database(), [draft], draft.author)
      if (item) return item
      if (part_number !== undefined) throw await partNumberTaken(database(), part_number)
    }
    // Concurrent creates have taken each of the generated numbers.
    throw new ApiError('part_number_taken')
  }

  return async (item, author) => {
    refuseNumbers(findExactNumbers(item.properties))
    const draft = { id: randomUUID(), item, author, requestedAt: performance.now() }
    return (await create(draft)) ?? alone(createAlone, draft)
  }
}

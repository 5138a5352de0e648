import { randomUUID } from 'node:crypto'
import pLimit from 'p-limit'
import postgres from 'postgres'
import { batched } from '../lib/batch.js'
import { findExactNumbers, stringifyJson } from '../lib/json.js'
import { ApiError } from '../errors.js'
import type { Item, NewItem } from '../schemas/items.js'
import { type Author, context, rightError } from './author.js'
import type { Sql } from './connect.js'
import { columns, hasNumber, refuseNumbers } from './items.js'

/** How many items one statement creates at most. */
const MOST = 32
/** For how long a shared statement waits for a lock that somebody holds, in ms; then each of its items is created alone. */
const PATIENCE_MS = 100
/** How many are created alone at once at most: behind one that waits for a lock, another would wait on the same session. */
const ALONE = 3
/** For how long a create waits for its turn, in ms: less than its request has, so that none is begun after it was answered. */
const TURN_MS = 10_000
/** How often a number drawn for a category may be lost to someone who names that very number. */
const CREATE_ATTEMPTS = 5

/** An item to be created, asked for at `asked` by `performance.now`. The id tells the rows of one statement apart. */
interface Draft {
  id: string
  item: NewItem
  author: Author
  asked: number
}

const isLate = ({ asked }: Draft): boolean => performance.now() - asked > TURN_MS

/**
 * Inserts all items whose numbers are not taken, in an order that is the same for all: so two such statements wait for each other
 * and don't end in a deadlock.
 * @param patienceMs for how long it waits for a lock; without, as long as other writes
 */
async function insertItems(sql: Sql, drafts: Draft[], author: Author, patienceMs?: number): Promise<Item[]> {
  const given = drafts.map(({ id, item }) => ({ ...item, id }))
  return sql<Item[]>`
    with ${context(sql, author, patienceMs)},
    given as materialized (
      select *
        from json_to_recordset(${stringifyJson(given)}::text::json) as given (
          id uuid, part_number text, category text, item_type text, description text, long_description text,
          sourcing_type text, properties jsonb
        )
    )
    insert into items (id, part_number, item_type, description, long_description, sourcing_type, properties)
    select id, coalesce(part_number, next_part_number(category)), coalesce(item_type, 'part'), coalesce(description, ''),
           coalesce(long_description, ''), sourcing_type, coalesce(properties, '{}')
      from context, given
     order by category nulls first, lower(part_number)
        on conflict (lower(part_number)) do nothing
    returning ${columns(sql)}
  `
}

/** Whether the server has refused a statement, and so taken all of it back; anything else may have been written. */
const isRefused = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && error.severity === 'ERROR'

/** An item; why it is not known whether there is one; or nothing, where it is to be tried alone. */
type Outcome = Item | Error | undefined

/** What became of the drafts of one author, by their ids. */
async function insertOf(sql: Sql, drafts: Draft[], author: Author): Promise<[string, Outcome][]> {
  try {
    return (await insertItems(sql, drafts, author, PATIENCE_MS)).map((item) => [item.id, item])
  } catch (error) {
    const refusal = rightError(error)
    if (!refusal && isRefused(error)) return []
    const reason =
      refusal ??
      (error instanceof Error ? error : new Error('the items may not have been created', { cause: error }))
    return drafts.map(({ id }) => [id, reason])
  }
}

/** Creates the items of all authors, a statement each: what a credential says is said for all of it. */
async function insertTogether(sql: Sql, drafts: readonly Draft[]): Promise<Outcome[]> {
  const outcomes = new Map<string, Outcome>()
  const authors = new Map<string, { author: Author; drafts: Draft[] }>()
  for (const draft of drafts) {
    if (isLate(draft)) {
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

async function taken(sql: Sql, partNumber: string): Promise<ApiError> {
  const [item] = await sql<{ part_number: string; archived: boolean }[]>`
    select part_number, archived_at is not null as archived
      from items
     where ${hasNumber(sql, partNumber)}
  `
  return new ApiError('part_number_taken', {
    ...(item?.archived && {
      message: `The part number ${item.part_number} belongs to an archived item and stays taken.`,
    }),
    details: [{ field: 'part_number', message: item?.archived ? 'belongs to an archived item' : 'is taken' }],
  })
}

/**
 * A function that creates an item with the number that is given, or with the next free one of its category. What is asked for
 * while other items are being created shares the next statement and its commit, which is most of the cost of a create
 * (docs/decisions/0017). An item that can't share one, for whatever reason, is tried alone, so that what is wrong with one is
 * said to one, and whoever holds a lock holds up nobody else. The function throws `ApiError`: part_number_taken.
 * @param database the pool at the moment
 */
export function itemCreator(database: () => Sql): (item: NewItem, author: Author) => Promise<Item> {
  const create = batched((drafts: readonly Draft[]) => insertTogether(database(), drafts), {
    most: MOST,
    paceMs: 0,
  })
  const alone = pLimit(ALONE)

  async function createAlone(draft: Draft): Promise<Item> {
    const { part_number } = draft.item
    for (let attempt = 1; attempt <= CREATE_ATTEMPTS; attempt++) {
      if (isLate(draft)) throw new ApiError('overloaded')
      const [item] = await insertItems(database(), [draft], draft.author)
      if (item) return item
      if (part_number !== undefined) throw await taken(database(), part_number)
    }
    // Someone has named each of the drawn numbers between its drawing and the insert.
    throw new ApiError('part_number_taken')
  }

  return async (item, author) => {
    refuseNumbers(findExactNumbers(item.properties))
    const draft = { id: randomUUID(), item, author, asked: performance.now() }
    return (await create(draft)) ?? alone(createAlone, draft)
  }
}

import { ApiError } from '../errors.js'
import { type FoundNumber, findExactNumbers } from '../lib/json.js'
import { INEXACT } from '../lib/exact-number.js'
import type { Content, Item, ItemPosition, Sort } from '../schemas/items.js'
import { type Author, context, hasRight } from './author.js'
import type { Sql } from './driver/connect.js'
import { FIELDS, fieldColumns, fieldsLength } from './item-fields.js'
import { type Page, readPage } from './pages.js'

/** Search criteria of the list and the export. */
export interface Filter {
  /** Words that must all occur in the part number or the description. */
  search?: string | undefined
  item_type?: Item['item_type'][] | undefined
  updated_since?: Date | undefined
}

/** The columns of an `Item`. */
export const columns = (sql: Sql) => sql`
  id, part_number, ${fieldColumns(sql)}, revision, created_at, created_by, updated_at, updated_by
`

/**
 * Returns the condition that an item has the part number, regardless of case. Part numbers are ASCII, and
 * their lower case must not depend on the database's locale.
 */
export const hasNumber = (sql: Sql, partNumber: string) =>
  sql`lower(part_number) = lower(${partNumber} collate "C")`

interface Stored extends Item {
  archived_at: Date | null
}

const archivedError = ({ part_number }: Pick<Item, 'part_number'>): ApiError =>
  new ApiError('item_not_found', { message: `The item ${part_number} is archived.` })

/**
 * Returns the item.
 * @throws {ApiError} item_not_found if it is archived
 */
function present({ archived_at, ...item }: Stored): Item {
  if (archived_at !== null) throw archivedError(item)
  return item
}

/**
 * Returns the item with a part number.
 * @throws {ApiError} item_not_found if there is none, or if it is archived
 */
export async function findItem(sql: Sql, partNumber: string): Promise<Item> {
  const [item] = await sql<Stored[]>`
    select ${columns(sql)}, archived_at
      from items
     where ${hasNumber(sql, partNumber)}
  `
  if (!item) throw new ApiError('item_not_found')
  return present(item)
}

/**
 * Returns the item with an id.
 * @throws {ApiError} item_not_found if there is none, or if it is archived
 */
export async function findItemById(sql: Sql, id: string): Promise<Item> {
  const [item] = await sql<Stored[]>`
    select ${columns(sql)}, archived_at
      from items
     where id = ${id}
  `
  if (!item) throw new ApiError('item_not_found', { message: 'There is no item with this id.' })
  return present(item)
}

/** Returns the LIKE pattern that matches the word anywhere in a text. */
const containsPattern = (word: string): string => `%${word.replaceAll(/[\\%_]/g, '\\$&')}%`

/**
 * Splits a search into words. NFKC comes first, because it turns other forms of spaces and of LIKE's
 * wildcards, such as full-width ones, into the ASCII ones.
 */
export const wordsOf = (search = ''): string[] =>
  search
    .normalize('NFKC')
    .split(/\s+/u)
    .filter((word) => word !== '')

/**
 * Returns the conditions of a list: one LIKE for each word, because `like all (array)` can't use the trigram
 * index. Words are compared in the form in which the index holds the texts (docs/decisions/0027).
 *
 * The `or false` is a parameter, which makes the estimate of the generic plan worse than that of a custom
 * plan. So in a large catalogue PostgreSQL never switches to the generic plan, which is far slower for a
 * frequent word. In a small catalogue it does after a few searches, and there the difference is small.
 */
export function matching(sql: Sql, { search, item_type, updated_since }: Filter) {
  return sql`
    archived_at is null
    ${item_type ? sql`and item_type = any(${item_type})` : sql``}
    ${updated_since ? sql`and updated_at >= ${updated_since}` : sql``}
    ${wordsOf(search).reduce(
      (conditions, word) => sql`
        ${conditions}
        and (search_text like search_form(${containsPattern(word)}) or ${false})
      `,
      sql``,
    )}
  `
}

const direction = (sql: Sql, sort: Sort) => (sort.startsWith('-') ? sql`desc` : sql`asc`)

/** Returns the `order by` list of a sort order. It ends with a unique column. */
export function order(sql: Sql, sort: Sort) {
  const column = sort.replace('-', '')
  return column === 'part_number'
    ? sql`lower(part_number) ${direction(sql, sort)}`
    : sql`${sql(column)} ${direction(sql, sort)}, id ${direction(sql, sort)}`
}

/** Returns the condition that an item comes after `position` in the list. */
function after(sql: Sql, position: ItemPosition) {
  const beyond = position.sort.startsWith('-') ? sql`<` : sql`>`
  return 'part_number' in position
    ? sql`lower(part_number) ${beyond} lower(${position.part_number} collate "C")`
    : sql`(${sql(position.sort.replace('-', ''))}, id) ${beyond} (${new Date(position.at)}, ${position.id})`
}

interface PageQuery extends Filter {
  sort: Sort
  position?: ItemPosition | undefined
  limit: number
  /** Max size of the page in bytes, see `readPage`. */
  bytes?: number
}

/** Returns a page of matching items, in the order of `sort`: at most `limit` of those after `position`. */
export async function listItems(sql: Sql, query: PageQuery): Promise<Page<Item>> {
  const { sort, position, limit, bytes } = query
  const found = sql`
    select ${columns(sql)}
      from items
     where ${matching(sql, query)}
           ${position ? sql`and ${after(sql, position)}` : sql``}
     order by ${order(sql, sort)}
     limit ${limit + 1}
  `
  return readPage(sql, {
    found,
    order: order(sql, sort),
    columns: columns(sql),
    length: fieldsLength(sql),
    limit,
    bytes,
  })
}

/**
 * Returns the condition that the properties already have each of these numbers, a JSON list of `FoundNumber`
 * or null, at its path. A number that a double can't represent is refused as a new value, but one that was
 * written in SQL may be sent back (docs/decisions/0028).
 */
export const hasNumbers = (sql: Sql, properties: ReturnType<Sql>, numbers: ReturnType<Sql>) => sql`
  not exists (
    select
      from jsonb_to_recordset(${numbers}) as number (path text[], "text" text)
     where ${properties} #> number.path is distinct from number."text"::jsonb
  )
`

/** Max numbers that an error names. */
const MAX_NAMED = 50

/**
 * Refuses numbers that a double can't represent.
 * @throws {ApiError} invalid_request with a detail for each number, if there is one
 */
export function refuseNumbers(numbers: readonly FoundNumber[]): void {
  if (numbers.length === 0) return
  throw new ApiError('invalid_request', {
    details: numbers
      .slice(0, MAX_NAMED)
      .map(({ path }) => ({ field: ['properties', ...path].join('.'), message: INEXACT })),
  })
}

/** The precondition of a change. */
export interface Condition {
  /** The revisions that may be replaced, as text; undefined for any. */
  revisions: string[] | undefined
}

type Outcome = 'archived' | 'inexact' | 'mismatch' | 'unchanged' | 'written'

/**
 * Applies `assignments` to an item if the condition holds. The row is locked first, and the condition is
 * checked on its newest version, so of two writers with the same condition only one succeeds.
 * @param numbers those of the new properties that a double can't represent
 * @throws {ApiError} item_not_found, revision_mismatch, invalid_request
 */
async function write(
  sql: Sql,
  partNumber: string,
  assignments: ReturnType<typeof columns>,
  author: Author,
  { revisions }: Condition,
  numbers: readonly FoundNumber[] = [],
): Promise<Item> {
  const areHeld =
    numbers.length === 0
      ? sql`true`
      : hasNumbers(sql, sql`items.properties`, sql`${JSON.stringify(numbers)}::text::jsonb`)
  const [result] = await sql<(Item & { outcome: Outcome })[]>`
    with ${context(sql, author)},
    target as materialized (
      select items.*,
             ${revisions ?? null}::text[] is null
               or revision::text = any(${revisions ?? null}::text[]) as matches,
             ${areHeld} as holds
        from context, items
       where ${hasNumber(sql, partNumber)}
         and ${hasRight(sql, 'context')}
         for update of items
    ),
    written as (
      update items
         set ${assignments}
        from context, target
       where items.id = target.id
         and target.archived_at is null
         and target.matches
         and target.holds
      returning items.*
    )
    select 'written' as outcome, ${columns(sql)}
      from written
     union all
    select case when archived_at is not null then 'archived'
                when not matches then 'mismatch'
                when not holds then 'inexact'
                else 'unchanged'
           end as outcome, ${columns(sql)}
      from target
     where not exists (select from written)
  `
  if (!result) throw new ApiError('item_not_found')
  const { outcome, ...item } = result
  if (outcome === 'archived') throw archivedError(item)
  if (outcome === 'mismatch') {
    throw new ApiError('revision_mismatch', {
      message: `The item has changed: it is at revision ${item.revision}.`,
    })
  }
  if (outcome === 'inexact') refuseNumbers(numbers)
  return item
}

/** Returns the assignments of a change: a field that is given is set, the others keep their values. */
function assignFields(sql: Sql, content: Content) {
  const assignments = FIELDS.map(({ name, isNullable }) => {
    const value = content[name] ?? null
    const written = typeof value === 'object' && value !== null ? sql.json(value) : value
    const column = sql(name)
    return isNullable
      ? sql`${column} = case when ${content[name] !== undefined} then ${written} else items.${column} end`
      : sql`${column} = coalesce(${written}, items.${column})`
  })
  return assignments.reduce((list, assignment) => sql`${list}, ${assignment}`)
}

/**
 * Changes the given fields of an item and keeps the others. If nothing changes, there is no new revision.
 * @returns the item as it is now
 * @throws {ApiError} item_not_found, revision_mismatch, invalid_request for numbers that a double can't
 * represent
 */
export async function changeItem(
  sql: Sql,
  partNumber: string,
  content: Content,
  author: Author,
  condition: Condition,
): Promise<Item> {
  return write(
    sql,
    partNumber,
    assignFields(sql, content),
    author,
    condition,
    findExactNumbers(content.properties),
  )
}

/**
 * Changes an item like `changeItem`, but always makes a revision.
 * @throws {ApiError} item_not_found, revision_mismatch, invalid_request for numbers that a double can't
 * represent
 */
export async function reviseItem(
  sql: Sql,
  partNumber: string,
  content: Content,
  author: Author,
  condition: Condition,
): Promise<Item> {
  const revised = sql`${assignFields(sql, content)}, revision = items.revision + 1`
  return write(sql, partNumber, revised, author, condition, findExactNumbers(content.properties))
}

/**
 * Archives an item: lists omit it, its revisions are kept, and its part number stays taken.
 * @throws {ApiError} item_not_found, revision_mismatch
 */
export async function archiveItem(
  sql: Sql,
  partNumber: string,
  author: Author,
  condition: Condition,
): Promise<void> {
  await write(sql, partNumber, sql`archived_at = now()`, author, condition)
}

import postgres from 'postgres'
import { ApiError } from '../errors.js'
import { INEXACT } from '../lib/exact-number.js'
import { BOUNDS } from '../schemas/bounds.js'
import { type ImportResult, type ImportRow, MAX_ERRORS, type RowError } from '../schemas/import.js'
import { ITEM_FIELD_NAMES } from '../schemas/items.js'
import { findExactNumbers, stringifyJson } from '../lib/json.js'
import { type Author, context, hasRight } from './author.js'
import type { Sql } from './driver/connect.js'
import { eachField, fieldColumns, fieldDefinitions } from './item-fields.js'
import { hasNumbers } from './items.js'

/** Attempts of an import. Each one may lose to writers that create or lock its items at the same time. */
const IMPORT_ATTEMPTS = 5

/**
 * Encodes a row for the statement. A field that is cleared with null becomes '', because null means that the
 * row does not have the field. Numbers that a double can't represent are also listed in `numbers`, because
 * they are accepted only where the item already has them.
 */
export function encodeRow(row: number, input: ImportRow): string {
  const numbers = findExactNumbers(input.properties)
  const cleared = ITEM_FIELD_NAMES.filter((name) => input[name] === null).map((name) => [name, ''])
  return stringifyJson({
    row,
    ...input,
    ...Object.fromEntries(cleared),
    ...(numbers.length > 0 && { numbers }),
  })
}

/**
 * The fields as a row changes them: the value of the row, else that of the item, else the initial one.
 * Properties are merged into those of the item. '' clears a field that can be null.
 */
const mergedFields = eachField(({ name, type, isNullable, initial }) => {
  if (type === 'jsonb')
    return `coalesce(found.${name}, ${initial}) || coalesce(input.${name}, ${initial}) as ${name}`
  const value = `coalesce(input.${name}, found.${name}, ${initial})`
  return `${isNullable ? `nullif(${value}, '')` : value} as ${name}`
})

const fieldsOfFound = eachField(({ name }) => `found.${name}`)
const fieldsOfWanted = eachField(({ name }) => `wanted.${name}`)
const assignments = eachField(({ name }) => `${name} = judged.${name}`)

interface Policy {
  /** What happens to a row whose item exists and differs. */
  on_conflict: 'error' | 'skip' | 'update'
  /** Reports the outcome without writing. */
  dry: boolean
}

const REFUSALS = {
  archived: { field: 'part_number', message: 'belongs to an archived item and stays reserved' },
  taken: { field: 'part_number', message: 'belongs to an existing item with other values' },
  inexact: { field: 'properties', message: INEXACT },
  too_large: {
    field: 'properties',
    message:
      `are larger than ${BOUNDS.properties / 1024} KiB ` +
      'together with the existing properties of the item',
  },
}

type Refusal = keyof typeof REFUSALS

/** The rows with one verdict. */
interface Judgement {
  verdict: 'created' | 'updated' | 'skipped' | 'unchanged' | Refusal
  count: number
  /** The numbers of the first of these rows, at most `MAX_ERRORS`. */
  rows: number[]
}

/**
 * Checks every row and, unless one is refused, writes all of them. Rows are locked, and new ones inserted, in
 * the order of their part numbers, so two imports of the same items wait for each other instead of ending in
 * a deadlock. The rows are sent as one JSON text. Arrays and COPY were measured and were no faster, because
 * most of the time is spent in the triggers.
 */
async function judgeAndWrite(
  sql: Sql,
  rows: string,
  { on_conflict, dry }: Policy,
  author: Author,
): Promise<Judgement[]> {
  return sql<Judgement[]>`
    with ${context(sql, author)},
    input as materialized (
      select *
        from json_to_recordset(${rows}::text::json) as input (
          "row" integer, part_number text, ${fieldDefinitions(sql)}, numbers jsonb
        )
    ),
    found as materialized (
      select input."row" as number, items.*
        from context
       cross join input
        join items on lower(items.part_number) = lower(input.part_number collate "C")
       order by lower(items.part_number)
         ${dry ? sql`` : sql`for update of items`}
    ),
    wanted as materialized (
      select input."row" as number,
             found.id,
             input.part_number,
             ${mergedFields(sql)},
             not ${hasNumbers(sql, sql`found.properties`, sql`input.numbers`)} as inexact
        from input
        left join found on found.number = input."row"
    ),
    judged as materialized (
      select wanted.*,
             case when found.id is null and wanted.inexact then 'inexact'
                  when found.id is null then 'created'
                  when found.archived_at is not null then 'archived'
                  when (${fieldsOfFound(sql)}) is not distinct from (${fieldsOfWanted(sql)})
                       then 'unchanged'
                  when ${on_conflict} = 'error' then 'taken'
                  when ${on_conflict} = 'skip' then 'skipped'
                  when wanted.inexact then 'inexact'
                  when exceeds_bound(wanted.properties) then 'too_large'
                  else 'updated'
             end as verdict
        from wanted
        left join found using (number)
    ),
    accepted as materialized (
      select
       where not ${dry}
         and not exists (select from judged where verdict = any(${Object.keys(REFUSALS)}))
    ),
    created as (
      insert into items (part_number, ${fieldColumns(sql)})
      select part_number, ${fieldColumns(sql)}
        from context, accepted, judged
       where verdict = 'created'
       order by lower(part_number)
    ),
    updated as (
      update items
         set ${assignments(sql)}
        from context, accepted, judged
       where judged.verdict = 'updated'
         and items.id = judged.id
    )
    select verdict, count(*)::integer as count,
           to_jsonb((array_agg(number order by number))[1:${MAX_ERRORS}::integer]) as rows
      from judged
     where ${hasRight(sql, 'context')}
     group by verdict
  `
}

const isRefusal = (verdict: Judgement['verdict']): verdict is Refusal => verdict in REFUSALS

function toResult(judgements: Judgement[]): ImportResult {
  const count = (verdict: Judgement['verdict']): number =>
    judgements.find((judgement) => judgement.verdict === verdict)?.count ?? 0
  const errors = judgements.flatMap(({ verdict, rows }): RowError[] =>
    isRefusal(verdict) ? rows.map((row) => ({ row, ...REFUSALS[verdict] })) : [],
  )
  return {
    created: count('created'),
    updated: count('updated'),
    skipped: count('skipped'),
    unchanged: count('unchanged'),
    errors,
  }
}

/** Whether a write failed because another item has the part number. */
function isNumberTaken(error: unknown): boolean {
  return (
    error instanceof postgres.PostgresError &&
    error.code === '23505' &&
    error.constraint_name === 'items_part_number'
  )
}

/**
 * Whether a retry can succeed: a concurrent writer has created one of the part numbers, or there was a
 * deadlock.
 */
const lostRace = (error: unknown): boolean =>
  isNumberTaken(error) || (error instanceof postgres.PostgresError && error.code === '40P01')

/**
 * Writes all rows in one statement, or none if one is refused or `dry` is set. Part numbers must be unique
 * among the rows.
 * @param rows each encoded by `encodeRow`
 * @throws {ApiError} part_number_taken when concurrent writers win every attempt
 */
export async function importRows(
  sql: Sql,
  rows: readonly string[],
  policy: Policy,
  author: Author,
): Promise<ImportResult> {
  const array = `[${rows.join(',')}]`
  for (let attempt = 1; ; attempt++) {
    try {
      return toResult(await judgeAndWrite(sql, array, policy, author))
    } catch (error) {
      if (!lostRace(error)) throw error
      if (attempt === IMPORT_ATTEMPTS) throw new ApiError('part_number_taken')
    }
  }
}

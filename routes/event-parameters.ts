import type { FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import { Filter } from '../feed/filter.js'
import { preferredType } from '../lib/accept.js'
import { findCursor } from '../lib/cursor-parameters.js'
import { EVENT_TYPES, type EventQuery, MAX_PATTERNS } from '../schemas/events.js'

/** Splits comma-separated values: `a,b` means the same as a repeated parameter. */
const split = (values: string[] | undefined): string[] | undefined =>
  values?.flatMap((value) => value.split(',')).map((value) => value.trim())

/**
 * Reads which events the client has selected.
 * @throws {ApiError} `invalid_request` for an unknown type, a malformed part number, or too many of them
 */
export function readFilter(query: EventQuery): Filter {
  const types = split(query.types)
  const unknown = types?.find((type) => !EVENT_TYPES.some((known) => known === type))
  if (unknown !== undefined)
    throw ApiError.invalid('types', `must be one or more of ${EVENT_TYPES.join(', ')}`)
  const partNumbers = split(query.part_number)
  if (partNumbers?.some((pattern) => !/^(?:[a-z0-9][a-z0-9._-]{0,63}\*?|\*)$/i.test(pattern))) {
    throw ApiError.invalid('part_number', 'must be a part number, or a prefix followed by *')
  }
  if ((partNumbers?.length ?? 0) > MAX_PATTERNS)
    throw ApiError.invalid('part_number', `must have at most ${MAX_PATTERNS} entries`)
  return types || partNumbers ? new Filter({ types, partNumbers }) : Filter.everything
}

/**
 * Reads the cursor from which the client resumes (lib/cursor-parameters.ts).
 * @throws {ApiError} `invalid_request` where `Last-Event-ID` is repeated with different values
 */
export function readCursor({ raw: { rawHeaders }, url }: FastifyRequest): string | undefined {
  const found = findCursor(rawHeaders, url)
  if ('conflict' in found)
    throw ApiError.invalid(found.conflict, 'is given more than once, with different values')
  return found.cursor
}

/** Parameters that only pages have. They select a page where `Accept` expresses no preference. */
const PAGE_PARAMETERS = ['last', 'limit', 'wait']

/** Whether the client prefers a page over a stream. */
export function prefersPage({ headers, url }: FastifyRequest): boolean {
  const query = new URLSearchParams(url.slice(url.indexOf('?') + 1))
  const hasPageParameter = url.includes('?') && PAGE_PARAMETERS.some((name) => query.has(name))
  const preferred = preferredType(
    headers.accept,
    hasPageParameter ? ['application/json', 'text/event-stream'] : ['text/event-stream', 'application/json'],
  )
  return preferred === 'application/json'
}

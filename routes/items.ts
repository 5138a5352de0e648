import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import { writeCsv } from '../lib/formats/csv.js'
import { preferredType } from '../lib/accept.js'
import { namedTags, tagOf } from '../lib/entity-tags.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'
import { IfMatch, IfNoneMatch } from '../schemas/conditions.js'
import { decodeCursor, encodeCursor } from '../schemas/cursor.js'
import {
  type Formulas,
  Item,
  ItemChange,
  ItemIdParams,
  ItemPage,
  ItemParams,
  ItemPosition,
  ItemQuery,
  MAX_SEARCH_WORDS,
  NewItem,
} from '../schemas/items.js'
import { NotModified } from '../schemas/web.js'
import type { Sql } from '../store/driver/connect.js'
import { itemCreator } from '../store/creation.js'
import { EXPORT_SLICE_BYTES, exportItems, readTextProperties } from '../store/export.js'
import {
  type Filter,
  archiveItem,
  changeItem,
  findItem,
  findItemById,
  listItems,
  wordsOf,
} from '../store/items.js'
import { PAGE_BYTES } from '../store/pages.js'
import { ITEM_BYTES } from './item-bytes.js'
import { writeNumbers } from './numbers.js'
import { sendTagged } from './tagged.js'

/** Timeout of an export, in ms. */
const EXPORT_TIMEOUT_MS = 600_000
/** Timeout of a database statement of an export, in ms. */
const EXPORT_STATEMENT_TIMEOUT_MS = 30_000

/**
 * Memory that an export reserves, in bytes: for the slice that is being read, and those that wait for the
 * socket.
 */
const EXPORT_BYTES = 4 * EXPORT_SLICE_BYTES

/** Returns the position of an item in a list: the next page begins after it. */
function positionOf(item: Item, sort: ItemPosition['sort']): ItemPosition {
  if (sort === 'part_number' || sort === '-part_number') return { sort, part_number: item.part_number }
  const at = sort.endsWith('updated_at') ? item.updated_at : item.created_at
  return { sort, at: at.getTime(), id: item.id }
}

/** @throws {ApiError} `invalid_request` for a malformed cursor, or for one of a list with another order */
function readPosition({ cursor, sort }: Static<typeof ItemQuery>): ItemPosition | undefined {
  if (cursor === undefined) return undefined
  const position = decodeCursor(ItemPosition, cursor)
  if (!position) throw ApiError.invalid('cursor', 'is not a cursor of this list')
  if (position.sort !== sort)
    throw ApiError.invalid('cursor', `is a cursor of a list with sort=${position.sort}`)
  return position
}

/** @throws {ApiError} `invalid_request` for more than `MAX_SEARCH_WORDS` words */
function readSearch(search: string | undefined): string | undefined {
  const words = wordsOf(search)
  if (words.length > MAX_SEARCH_WORDS) {
    throw ApiError.invalid('search', `must have at most ${MAX_SEARCH_WORDS} words, not ${words.length}`)
  }
  return search
}

/**
 * Parses a timestamp. One before 1970 counts as 1970.
 * @throws {ApiError} `invalid_request` for one that the schema accepts and `Date` can't represent, such as a
 * leap second
 */
function readTime(field: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw ApiError.invalid(field, 'must be a valid date-time')
  return new Date(Math.max(0, time))
}

/** Routes to create, list, search, export, read, change and archive items. */
const items: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onSend', writeNumbers)
  const read = { onRequest: app.requireRole('viewer'), config: { responseBytes: ITEM_BYTES } }
  const tags = ['items']
  const createItem = itemCreator(() => app.db)

  /**
   * Sets `Vary` before anything can fail: a cache must not use an error for a client that accepts another
   * type.
   */
  async function varyByAccept(_request: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.header('vary', 'accept')
  }

  async function sendCsv(reply: FastifyReply, filter: Filter, formulas: Formulas): Promise<FastifyReply> {
    reply.type('text/csv; charset=utf-8').header('content-disposition', 'attachment; filename="items.csv"')
    // For a HEAD, Fastify would read the whole file and discard it.
    if (reply.request.method === 'HEAD') return reply.send(Readable.from([]))
    await app.reserveMemory(reply, EXPORT_BYTES)
    const run = <T>(work: (sql: Sql) => Promise<T>) =>
      app.runList(reply.request, work, EXPORT_STATEMENT_TIMEOUT_MS)
    const names = await run((sql) => readTextProperties(sql, filter))
    const file = Readable.from(writeCsv(names, exportItems(run, filter), formulas))
    reply.raw.setTimeout(STALL_TIMEOUT_MS, () => reply.raw.destroy())
    return reply.send(file)
  }

  app.post(
    '/api/items',
    {
      ...app.itemWrite,
      // Creates share statements, and so limit their connections themselves (docs/decisions/0017).
      config: { boundsConnections: true },
      schema: {
        tags,
        summary: 'Create an item, with a part number or in a category',
        errors: ['forbidden', 'part_number_taken', 'server_read_only'],
        body: NewItem,
        response: { 201: Item },
      },
    },
    async (request, reply) => {
      const { comment, ...newItem } = request.body
      if ((newItem.part_number === undefined) === (newItem.category === undefined)) {
        const message = 'exactly one of part_number and category must be given'
        throw new ApiError('invalid_request', {
          details: ['part_number', 'category'].map((field) => ({ field, message })),
        })
      }
      const item = await createItem(newItem, { ...request.principal, comment })
      return reply
        .code(201)
        .headers({ location: `/api/items/${item.part_number}`, etag: tagOf(item.revision) })
        .send(item)
    },
  )

  app.get(
    '/api/items',
    {
      config: { timeoutMs: EXPORT_TIMEOUT_MS, responseBytes: PAGE_BYTES },
      onRequest: [varyByAccept, app.requireRole('viewer')],
      schema: {
        tags,
        summary: 'List and search items, page by page',
        querystring: ItemQuery,
        response: {
          200: {
            description:
              'A page of items. As CSV: all matching items, by part number, in the format that the import ' +
              'accepts.',
            content: { 'application/json': { schema: ItemPage }, 'text/csv': { schema: Type.String() } },
          },
        },
      },
    },
    async (request, reply) => {
      const { search, item_type, sort, limit } = request.query
      const filter = {
        search: readSearch(search),
        item_type,
        updated_since: readTime('updated_since', request.query.updated_since),
      }
      if (preferredType(request.headers.accept, ['application/json', 'text/csv']) === 'text/csv') {
        return sendCsv(reply, filter, request.query.formulas)
      }

      // Read before the rows: a change between the two is also sent as an event. The other way round it would
      // be missed.
      const event_cursor = app.sse.head
      const position = readPosition(request.query)
      const { rows, hasNext } = await app.runList(request, (sql) =>
        listItems(sql, { ...filter, sort, limit, position }),
      )
      const last = rows.at(-1)
      const next_cursor = hasNext && last ? encodeCursor(positionOf(last, sort)) : null
      return { items: rows, next_cursor, event_cursor }
    },
  )

  app.get(
    '/api/items/:part_number',
    {
      ...read,
      schema: {
        tags,
        summary: 'Read an item',
        errors: ['item_not_found'],
        params: ItemParams,
        headers: IfNoneMatch,
        response: { 200: Item, 304: NotModified },
      },
    },
    async (request, reply) => {
      const item = await findItem(app.db, request.params.part_number)
      return sendTagged(reply, tagOf(item.revision), item)
    },
  )

  app.get(
    '/api/items/by-uuid/:id',
    {
      ...read,
      schema: {
        tags,
        summary: 'Read an item by its id',
        errors: ['item_not_found'],
        params: ItemIdParams,
        headers: IfNoneMatch,
        response: { 200: Item, 304: NotModified },
      },
    },
    async (request, reply) => {
      const item = await findItemById(app.db, request.params.id)
      return sendTagged(reply, tagOf(item.revision), item)
    },
  )

  app.put(
    '/api/items/:part_number',
    {
      ...app.itemWrite,
      config: { responseBytes: ITEM_BYTES },
      schema: {
        tags,
        summary: 'Change the given fields of an item',
        errors: ['forbidden', 'item_not_found', 'revision_mismatch', 'server_read_only'],
        params: ItemParams,
        headers: IfMatch,
        body: ItemChange,
        response: { 200: Item },
      },
    },
    async (request, reply) => {
      const { part_number } = request.params
      const { part_number: named, comment, ...content } = request.body
      if (named !== undefined && named.toLowerCase() !== part_number.toLowerCase()) {
        throw ApiError.invalid('part_number', 'must not be changed: leave it out')
      }
      const item = await changeItem(
        app.db,
        part_number,
        content,
        { ...request.principal, comment },
        { revisions: namedTags(request.headers['if-match']) },
      )
      return reply.header('etag', tagOf(item.revision)).send(item)
    },
  )

  app.delete(
    '/api/items/:part_number',
    {
      ...app.itemWrite,
      schema: {
        tags,
        summary: 'Archive an item; its part number stays reserved',
        errors: ['forbidden', 'item_not_found', 'revision_mismatch', 'server_read_only'],
        params: ItemParams,
        headers: IfMatch,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await archiveItem(app.db, request.params.part_number, request.principal, {
        revisions: namedTags(request.headers['if-match']),
      })
      return reply.code(204).send(null)
    },
  )
}

export default items

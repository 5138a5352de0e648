import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ApiError } from '../errors.js'
import { namedTags, tagOf } from '../lib/entity-tags.js'
import { IfMatch, IfNoneMatch } from '../schemas/conditions.js'
import { decodeCursor, encodeCursor } from '../schemas/cursor.js'
import { type Item, ItemParams } from '../schemas/items.js'
import {
  NewRevision,
  Revision,
  RevisionPage,
  RevisionParams,
  RevisionPosition,
  RevisionQuery,
} from '../schemas/revisions.js'
import { NotModified } from '../schemas/web.js'
import { reviseItem } from '../store/items.js'
import { findRevision, listRevisions } from '../store/revisions.js'
import { PAGE_BYTES } from '../store/pages.js'
import { ITEM_BYTES } from './item-bytes.js'
import { writeNumbers } from './numbers.js'
import { sendTagged } from './tagged.js'

/**
 * Returns the revision number after which the page begins.
 * @throws {ApiError} `invalid_request` for a malformed cursor
 */
function readPosition(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined
  const position = decodeCursor(RevisionPosition, cursor)
  if (!position) throw ApiError.invalid('cursor', 'is not a cursor of this list')
  return position.revision_number
}

/**
 * Returns the newest revision of an item, derived from the item that a change has just returned. The response
 * schema omits the other fields of the item.
 */
const newest = (item: Item, comment: string): Revision => ({
  ...item,
  revision_number: item.revision,
  comment,
  created_at: item.updated_at,
  created_by: item.updated_by,
})

/** Routes to list, read and post the revisions of an item. Those of an archived item can still be read. */
const revisions: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onSend', writeNumbers)
  const tags = ['revisions']

  /** Whether the item exists, archived or not: each item has at least one revision. */
  async function hasRevisions(partNumber: string): Promise<boolean> {
    return (await listRevisions(app.db, partNumber, { before: undefined, limit: 1 })).rows.length > 0
  }

  app.get(
    '/api/items/:part_number/revisions',
    {
      config: { responseBytes: PAGE_BYTES },
      onRequest: app.requireRole('viewer'),
      schema: {
        tags,
        summary: "List an item's revisions, newest first",
        errors: ['item_not_found'],
        params: ItemParams,
        querystring: RevisionQuery,
        response: { 200: RevisionPage },
      },
    },
    async (request) => {
      const { part_number } = request.params
      const { limit, cursor } = request.query
      const before = readPosition(cursor)
      const { rows, hasNext } = await app.runList(request, (sql) =>
        listRevisions(sql, part_number, { before, limit }),
      )
      if (rows.length === 0 && !(await hasRevisions(part_number))) throw new ApiError('item_not_found')
      const last = rows.at(-1)
      const next_cursor = hasNext && last ? encodeCursor({ revision_number: last.revision_number }) : null
      return { revisions: rows, next_cursor }
    },
  )

  app.get(
    '/api/items/:part_number/revisions/:revision_number',
    {
      config: { responseBytes: ITEM_BYTES },
      onRequest: app.requireRole('viewer'),
      schema: {
        tags,
        summary: 'Read a revision',
        errors: ['item_not_found', 'revision_not_found'],
        params: RevisionParams,
        headers: IfNoneMatch,
        response: { 200: Revision, 304: NotModified },
      },
    },
    async (request, reply) => {
      const { part_number, revision_number } = request.params
      const revision = await findRevision(app.db, part_number, revision_number)
      if (!revision) {
        throw new ApiError((await hasRevisions(part_number)) ? 'revision_not_found' : 'item_not_found')
      }
      return sendTagged(reply, tagOf(revision.revision_number), revision)
    },
  )

  app.post(
    '/api/items/:part_number/revisions',
    {
      ...app.itemWrite,
      config: { responseBytes: ITEM_BYTES },
      schema: {
        tags,
        summary: 'Post a revision, with or without changes to the item',
        errors: ['forbidden', 'item_not_found', 'revision_mismatch', 'server_read_only'],
        params: ItemParams,
        headers: IfMatch,
        body: NewRevision,
        response: { 201: Revision },
      },
    },
    async (request, reply) => {
      const { comment, ...content } = request.body
      const item = await reviseItem(
        app.db,
        request.params.part_number,
        content,
        { ...request.principal, comment },
        { revisions: namedTags(request.headers['if-match']) },
      )
      return reply
        .code(201)
        .headers({
          location: `/api/items/${item.part_number}/revisions/${item.revision}`,
          etag: tagOf(item.revision),
        })
        .send(newest(item, comment))
    },
  )
}

export default revisions

import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import { readCsv } from '../lib/formats/csv.js'
import { readNdjson } from '../lib/formats/ndjson.js'
import type { Row } from '../lib/formats/rows.js'
import { readText } from '../lib/formats/text.js'
import { Pacer } from '../lib/pacer.js'
import { STALL_TIMEOUT_MS } from '../lib/stall-timeout.js'
import {
  ImportQuery,
  ImportRejected,
  ImportResult,
  ImportRow,
  MAX_BYTES,
  MAX_ERRORS,
  MAX_JSON_LENGTH,
  MAX_ROWS,
  type RowError,
} from '../schemas/import.js'
import type { Author } from '../store/author.js'
import type { Sql } from '../store/driver/connect.js'
import { encodeRow, importRows } from '../store/import.js'
import { Slots } from './slots.js'
import { readUpload } from './upload.js'

/** Maximum number of concurrent imports on an instance: each may hold 64 MiB of text, parsed. */
const MAX_IMPORTS = 3
/** Maximum number of concurrent imports of one user. */
const MAX_IMPORTS_PER_USER = 2
/** Timeout of an import, its upload included, in ms. */
const IMPORT_TIMEOUT_MS = 600_000

const TOO_MUCH =
  `The rows of an import may have at most ${MAX_JSON_LENGTH / 1024 / 1024} MiB as JSON, ` +
  'with their property names. Split the file.'

const READERS: Record<string, (text: AsyncIterable<string>) => AsyncIterable<Row>> = {
  'text/csv': readCsv,
  'application/x-ndjson': readNdjson,
  'application/jsonl': readNdjson,
}

const EXAMPLES: Record<string, string> = {
  'text/csv': 'Part Number,Part Name,Type,Colour\nFDM-0005,y-gantry,part,red\n',
  'application/x-ndjson':
    '{"part_number":"FDM-0005","description":"y-gantry","properties":{"colour":"red"}}\n',
}

const bodyOf = (type: string) =>
  Type.Unsafe<Readable>({
    description: 'UTF-8 text, at most 64 MiB and 200,000 rows.',
    examples: [EXAMPLES[type] ?? EXAMPLES['application/x-ndjson']],
  })

const compile = (app: FastifyInstance) => app.compileCheck(ImportRow)

/** The rows of a file, as far as they can be checked without the database. */
interface Collected {
  /** The valid rows, encoded for the statement (`encodeRow`). */
  rows: string[]
  /** What is wrong with the invalid rows. Reading stops at `MAX_ERRORS`. */
  errors: RowError[]
}

/**
 * Checks and encodes the rows of a file while it is read.
 * @throws {ApiError} `payload_too_large` for more than `MAX_ROWS` rows, or more than `MAX_JSON_LENGTH`
 * characters of JSON
 */
async function collect(reading: AsyncIterable<Row>, check: ReturnType<typeof compile>): Promise<Collected> {
  const rows: string[] = []
  const errors: RowError[] = []
  const rowsByNumber = new Map<string, number>()
  const pacer = new Pacer()
  let length = 0
  for await (const { row, ...read } of reading) {
    if (row > MAX_ROWS) {
      throw new ApiError('payload_too_large', {
        message: `An import may have at most ${MAX_ROWS} rows. Split the file.`,
      })
    }
    const checked = 'errors' in read ? read : check(read.value)
    if ('errors' in checked) {
      errors.push(...checked.errors.slice(0, MAX_ERRORS).map((detail) => ({ row, ...detail })))
    } else {
      const number = checked.value.part_number.toLowerCase()
      const before = rowsByNumber.get(number)
      if (before === undefined) {
        const encoded = encodeRow(row, checked.value)
        length += encoded.length
        // CSV names a column once, JSON in each row: a small file can become a large text.
        if (length > MAX_JSON_LENGTH) throw new ApiError('payload_too_large', { message: TOO_MUCH })
        rows.push(encoded)
      } else errors.push({ row, field: 'part_number', message: `is a duplicate of row ${before}` })
      rowsByNumber.set(number, before ?? row)
    }
    if (errors.length >= MAX_ERRORS) break
    if (pacer.shouldPause) await pacer.pause()
  }
  return { rows, errors }
}

/**
 * Imports the rows, or only checks them against the database: for a dry run, and where `errors` has some
 * already. The valid rows are checked even then, so that one response names the errors of both kinds.
 */
async function importCollected(
  sql: Sql,
  { rows, errors }: Collected,
  { dry_run, on_conflict }: Static<typeof ImportQuery>,
  author: Author,
): Promise<ImportResult> {
  const result = await importRows(sql, rows, { on_conflict, dry: dry_run || errors.length > 0 }, author)
  const all = [...errors, ...result.errors].sort((a, b) => a.row - b.row)
  return { ...result, errors: all.slice(0, MAX_ERRORS) }
}

/** The body of a 422 response: the error, and the result of an import that wrote nothing. */
function rejection(errors: RowError[]): Static<typeof ImportRejected> {
  const details = errors.map(({ row, field, message }) => ({ field: `row ${row}: ${field}`, message }))
  const nothing = { created: 0, updated: 0, skipped: 0, unchanged: 0 }
  return { ...new ApiError('import_rejected', { details }).body, ...nothing, errors }
}

/** `POST /api/items/import`: imports all rows of a file, or none. */
const importRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const check = compile(app)
  const slots = new Slots(MAX_IMPORTS)
  const slotsOfUser = new Slots(MAX_IMPORTS_PER_USER)

  app.removeAllContentTypeParsers()
  // The body is passed on as a stream: it is parsed while it arrives, and `readText` limits its bytes.
  app.addContentTypeParser(Object.keys(READERS), async (request: FastifyRequest, payload: Readable) => {
    if (Number(request.headers['content-length']) > MAX_BYTES) throw new ApiError('payload_too_large')
    return payload
  })

  app.post(
    '/api/items/import',
    {
      ...app.itemWrite,
      config: { timeoutMs: IMPORT_TIMEOUT_MS, boundsConnections: true, streamsBody: true },
      schema: {
        tags: ['items'],
        summary: 'Import items from CSV or newline-delimited JSON, all or none',
        errors: ['forbidden', 'part_number_taken', 'server_read_only'],
        querystring: ImportQuery,
        body: {
          content: Object.fromEntries(Object.keys(READERS).map((type) => [type, { schema: bodyOf(type) }])),
        },
        response: { 200: ImportResult, 422: ImportRejected },
      },
    },
    async (request, reply) => {
      const read = READERS[request.mediaType ?? '']
      if (!read) throw new ApiError('unsupported_media_type')
      const body = request.body instanceof Readable ? request.body : Readable.from([])

      const overloaded = () => new ApiError('overloaded', { headers: { 'retry-after': '10' } })
      const releaseUser = slotsOfUser.take(request.principal.user_id)
      if (!releaseUser) throw overloaded()
      const release = slots.take('import')
      if (!release) {
        releaseUser()
        throw overloaded()
      }
      let result: ImportResult
      try {
        const collected = await collect(read(readText(readUpload(body, STALL_TIMEOUT_MS), MAX_BYTES)), check)
        result = await importCollected(app.importDb, collected, request.query, request.principal)
      } finally {
        release()
        releaseUser()
      }
      return result.errors.length === 0 ? result : reply.code(422).send(rejection(result.errors))
    },
  )
}

export default importRoutes

import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { extname } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.js'
import { isHeld } from '../schemas/conditions.js'
import { NotModified, PartPageParams, SeeOther, WebFileParams } from '../schemas/web.js'

const FOLDER = new URL('web/', import.meta.resolve('#root'))

const HTML = 'text/html'

/** What `web/` holds; a file of another kind there is not served. */
const MEDIA_TYPES: Record<string, string> = {
  '.html': HTML,
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
}

/** Not as exact as it could be, for all contents of a status are one type to Fastify. */
const FileText: TSchema = Type.String()

const page = { tags: ['pages'], security: [] }

/** The answers of a page that comes in these types. */
const found = (...types: string[]) => ({
  200: {
    description: 'A file, with its `ETag`.',
    content: Object.fromEntries(types.map((type) => [type, { schema: FileText }])),
  },
  304: NotModified,
})

const foundOrSignIn = { ...found(HTML), 303: SeeOther }

interface WebFile {
  content: Buffer
  type: string
  etag: string
}

const readText = (name: string) => readFile(new URL(name, FOLDER), 'utf8')

/** The pages are a few small files: read once, so no address can name any other file. Each page gets the same header. */
async function readFiles(): Promise<Map<string, WebFile>> {
  const files = new Map<string, WebFile>()
  const header = await readText('header.html')
  for (const name of await readdir(FOLDER)) {
    const type = MEDIA_TYPES[extname(name)]
    if (type === undefined) continue
    const content = Buffer.from((await readText(name)).replace('<!-- header -->', () => header.trimEnd()))
    const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`
    files.set(name, { content, type, etag })
  }
  return files
}

/** The pages for people: the sign-in, the Database Activity panel, the items, and a page for each of them. None of them holds data. */
const web: FastifyPluginAsyncTypebox = async (app) => {
  const files = await readFiles()
  const open = { config: { withoutDatabase: true } }

  function send(reply: FastifyReply, name: string, cacheControl: string): FastifyReply {
    const file = files.get(name)
    if (!file) throw new ApiError('not_found')
    reply.headers({ 'cache-control': cacheControl, etag: file.etag })
    return isHeld(reply.request.headers['if-none-match'], file.etag)
      ? reply.code(304).send()
      : reply.type(`${file.type}; charset=utf-8`).send(file.content)
  }

  /** Not kept by the browser: after signing out, going back must not show what stood there. */
  const sendPage = (reply: FastifyReply, name: string) => send(reply, name, 'no-store')

  /** Where nobody can tell who asks, the page comes, and says itself that the database is away. */
  async function isStranger(request: FastifyRequest): Promise<boolean> {
    if (app.mode.databaseLost) return false
    try {
      return (await app.findPrincipal(request)) === undefined
    } catch (err) {
      request.log.warn({ err }, 'who asks for a page could not be looked up')
      return false
    }
  }

  const pageForMembers = (name: string) => async (request: FastifyRequest, reply: FastifyReply) => {
    if (await isStranger(request)) {
      const next = new URLSearchParams({ next: request.url })
      return reply.header('cache-control', 'no-store').redirect(`/login?${next.toString()}`, 303)
    }
    return sendPage(reply, name)
  }

  app.get(
    '/login',
    { ...open, schema: { ...page, summary: 'The sign-in page', response: found(HTML) } },
    (_request, reply) => sendPage(reply, 'login.html'),
  )
  app.get(
    '/',
    { ...open, schema: { ...page, summary: 'The Database Activity panel', response: foundOrSignIn } },
    pageForMembers('index.html'),
  )
  app.get(
    '/items',
    { ...open, schema: { ...page, summary: 'The list of items', response: foundOrSignIn } },
    pageForMembers('items.html'),
  )
  app.get(
    '/items/:part_number',
    {
      ...open,
      schema: { ...page, summary: "A part's page", params: PartPageParams, response: foundOrSignIn },
    },
    pageForMembers('item.html'),
  )
  app.get(
    '/web/:name',
    {
      ...open,
      schema: {
        ...page,
        summary: 'What the pages consist of',
        params: WebFileParams,
        response: found(...Object.values(MEDIA_TYPES)),
      },
    },
    (request, reply) => send(reply, request.params.name, 'no-cache'),
  )
}

export default web

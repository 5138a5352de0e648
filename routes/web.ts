import { readFile, readdir } from 'node:fs/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { PartPageParams, SeeOther, WebFileParams } from '../schemas/web.js'
import { ownPath } from './own-path.js'
import { HTML, MEDIA_TYPES, type WebFile, found, makeWebFile, page, sendWebFile } from './web-file.js'

const FOLDER = new URL('web/', import.meta.resolve('#root'))

const foundOrSignIn = { ...found(HTML), 303: SeeOther }

const readText = (name: string) => readFile(new URL(name, FOLDER), 'utf8')

/** The pages are a few small files: read once, so no address can name any other file. Each page gets the same header. */
async function readFiles(): Promise<Map<string, WebFile>> {
  const files = new Map<string, WebFile>()
  const header = await readText('header.html')
  for (const name of await readdir(FOLDER)) {
    const text = (await readText(name)).replace('<!-- header -->', () => header.trimEnd())
    const file = makeWebFile(name, Buffer.from(text))
    if (file) files.set(name, file)
  }
  return files
}

/** The pages for people: the sign-in, the Database Activity panel, the items, and a page for each of them. None of them holds data. */
const web: FastifyPluginAsyncTypebox = async (app) => {
  const files = await readFiles()
  const open = { config: { withoutDatabase: true } }

  /** Not kept by the browser: after signing out, going back must not show what stood there. */
  const sendPage = (reply: FastifyReply, name: string) => sendWebFile(reply, files.get(name), 'no-store')

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
      const next = new URLSearchParams({ next: ownPath(request.url) })
      return reply.redirect(`/login?${next.toString()}`, 303)
    }
    return sendPage(reply, name)
  }

  app.get(
    '/login',
    { ...open, schema: { ...page, summary: 'The sign-in page', response: found(HTML) } },
    async (_request, reply) => sendPage(reply, 'login.html'),
  )
  app.get(
    '/docs',
    { ...open, schema: { ...page, summary: 'The API reference', response: found(HTML) } },
    async (_request, reply) => {
      // Swagger UI's own pictures stand in its style sheet, as `data:` addresses.
      const policy = String(reply.getHeader('content-security-policy'))
      reply.header('content-security-policy', `${policy};img-src 'self' data:`)
      return sendPage(reply, 'docs.html')
    },
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
        errors: ['not_found'],
        params: WebFileParams,
        response: found(...Object.values(MEDIA_TYPES)),
      },
    },
    async (request, reply) => sendWebFile(reply, files.get(request.params.name), 'no-cache'),
  )
}

export default web

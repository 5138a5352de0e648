import { readFile, readdir } from 'node:fs/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { PartPageParams, SeeOther, WebFileParams } from '../schemas/web.js'
import { ownPath } from './own-path.js'
import { HTML, MEDIA_TYPES, type WebFile, found, makeWebFile, page, sendWebFile } from './web-file.js'

const FOLDER = new URL('web/', import.meta.resolve('#root'))

const foundOrSignIn = { ...found(HTML), 303: SeeOther }

const readText = (name: string) => readFile(new URL(name, FOLDER), 'utf8')

/**
 * Reads the files of the pages, and puts the shared header into each page. They are read once at startup: a
 * request is served from this map, so no path can name another file.
 */
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

/**
 * Serves the pages: the sign-in, the Database Activity panel, the list of items, the page of an item, the API
 * reference. The pages contain no data; they read it by the API.
 */
const web: FastifyPluginAsyncTypebox = async (app) => {
  const files = await readFiles()
  const open = { config: { withoutDatabase: true } }

  /** Forbids the browser to store the page: after a sign-out, the back button must not show it. */
  const sendPage = (reply: FastifyReply, name: string) => sendWebFile(reply, files.get(name), 'no-store')

  /**
   * Whether the request is known to be unauthenticated. While the database can't be reached, that is not
   * known of any request: the page is sent, and reports the outage itself.
   */
  async function isStranger(request: FastifyRequest): Promise<boolean> {
    if (app.mode.databaseLost) return false
    try {
      return (await app.findPrincipal(request)) === undefined
    } catch (err) {
      request.log.warn({ err }, 'failed to authenticate a page request')
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
      // The style sheet of Swagger UI contains its images as `data:` URLs.
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
        summary: 'A file of the pages',
        errors: ['not_found'],
        params: WebFileParams,
        response: found(...Object.values(MEDIA_TYPES)),
      },
    },
    async (request, reply) => sendWebFile(reply, files.get(request.params.name), 'no-cache'),
  )
}

export default web

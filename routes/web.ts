import { readFile, readdir } from 'node:fs/promises'
import { posix } from 'node:path'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { PartPageParams, SeeOther, WebFileParams } from '../schemas/web.js'
import { ownPath } from './own-path.js'
import {
  HTML,
  MEDIA_TYPES,
  type WebFile,
  fileResponses,
  makeWebFile,
  pageSchema,
  sendWebFile,
} from './web-file.js'

/** The pages, style sheets and images. */
const SOURCES = new URL('web/', import.meta.resolve('#root'))
/** The modules of the pages, as `tsc` emits them from `SOURCES`. */
const MODULES = new URL('dist/web/', import.meta.resolve('#root'))
/** The folders that `SOURCES` and `MODULES` have in common. */
const FOLDERS = ['feed', 'pages', 'parts']

const fileOrSignIn = { ...fileResponses(HTML), 303: SeeOther }

/** Reads the files of `root` that have one of these extensions, by path, like `pages/items.html`. */
async function readTexts(root: URL, extensions: readonly string[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for (const folder of FOLDERS) {
    for (const name of await readdir(new URL(`${folder}/`, root))) {
      const path = `${folder}/${name}`
      if (extensions.includes(posix.extname(name)))
        texts.set(path, await readFile(new URL(path, root), 'utf8'))
    }
  }
  return texts
}

/**
 * Returns the modules that a module imports, directly or not, in the order of their paths.
 * @throws {Error} if one of them is not in `modules`
 */
function importsOf(entry: string, modules: ReadonlyMap<string, string>): string[] {
  const imports = new Set<string>()
  function visit(path: string): void {
    const text = modules.get(path)
    if (text === undefined) throw new Error(`The page's module ${path} is missing: run "npm run build".`)
    // tsc emits each import as one line.
    for (const line of text.split('\n').filter((each) => each.startsWith('import '))) {
      const [, specifier = ''] = line.split("'")
      const imported = posix.join(posix.dirname(path), specifier)
      if (imports.has(imported)) continue
      imports.add(imported)
      visit(imported)
    }
  }
  visit(entry)
  imports.delete(entry)
  return [...imports].sort()
}

/**
 * Completes a page: puts the shared header into it, and lists all modules that its script imports, so that
 * the browser loads them in parallel instead of one after the other.
 */
function complete(html: string, header: string, modules: ReadonlyMap<string, string>): string {
  return html
    .replace('<!-- header -->', () => header.trimEnd())
    .replace(/<script type="module" src="\/web\/([\w/-]+\.js)">/, (script, entry: string) => {
      const links = importsOf(entry, modules).map(
        (path) => `<link rel="modulepreload" href="/web/${path}" />`,
      )
      return [...links, script].join('\n    ')
    })
}

/**
 * Reads the files of the pages, by path. They are read once at startup: a request is served from this map, so
 * no path can name another file.
 * @throws {Error} if the header or a module of a page is missing
 */
async function readFiles(): Promise<Map<string, WebFile>> {
  const [texts, modules] = await Promise.all([
    readTexts(SOURCES, ['.html', '.css', '.svg']),
    readTexts(MODULES, ['.js']),
  ])
  const header = texts.get('parts/header.html')
  if (header === undefined) throw new Error('The header of the pages is missing: web/parts/header.html.')
  const files = new Map<string, WebFile>()
  for (const [path, text] of [...texts, ...modules]) {
    const content = path.endsWith('.html') ? complete(text, header, modules) : text
    const file = makeWebFile(path, Buffer.from(content))
    if (file) files.set(path, file)
  }
  return files
}

/**
 * Serves the pages: the sign-in, the Database Activity panel, the list of items, the page of an item, the API
 * reference. The pages contain no data; they read it from the API.
 */
const web: FastifyPluginAsyncTypebox = async (app) => {
  const files = await readFiles()
  const withoutDatabase = { config: { withoutDatabase: true } }

  /** Forbids the browser to store the page: after a sign-out, the back button must not show it. */
  const sendPage = (reply: FastifyReply, name: string) => sendWebFile(reply, files.get(name), 'no-store')

  /**
   * Whether the request is known to be unauthenticated. False while the database can't be reached: the page
   * is then sent, and reports the outage itself.
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
    {
      ...withoutDatabase,
      schema: { ...pageSchema, summary: 'The sign-in page', response: fileResponses(HTML) },
    },
    async (_request, reply) => sendPage(reply, 'pages/login.html'),
  )
  app.get(
    '/docs',
    {
      ...withoutDatabase,
      schema: { ...pageSchema, summary: 'The API reference', response: fileResponses(HTML) },
    },
    async (_request, reply) => {
      // The style sheet of Swagger UI contains its images as `data:` URLs.
      const policy = String(reply.getHeader('content-security-policy'))
      reply.header('content-security-policy', `${policy};img-src 'self' data:`)
      return sendPage(reply, 'pages/docs.html')
    },
  )
  app.get(
    '/',
    {
      ...withoutDatabase,
      schema: { ...pageSchema, summary: 'The Database Activity panel', response: fileOrSignIn },
    },
    pageForMembers('pages/index.html'),
  )
  app.get(
    '/items',
    { ...withoutDatabase, schema: { ...pageSchema, summary: 'The list of items', response: fileOrSignIn } },
    pageForMembers('pages/items.html'),
  )
  app.get(
    '/items/:part_number',
    {
      ...withoutDatabase,
      schema: { ...pageSchema, summary: "A part's page", params: PartPageParams, response: fileOrSignIn },
    },
    pageForMembers('pages/item.html'),
  )
  app.get(
    '/web/:folder/:name',
    {
      ...withoutDatabase,
      schema: {
        ...pageSchema,
        summary: 'A file of the pages',
        errors: ['not_found'],
        params: WebFileParams,
        response: fileResponses(...Object.values(MEDIA_TYPES)),
      },
    },
    async (request, reply) =>
      sendWebFile(reply, files.get(`${request.params.folder}/${request.params.name}`), 'no-cache'),
  )
}

export default web

import { readdir, readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { bearer } from '../harness/people.js'
import { TcpProxy } from '../harness/tcp-proxy.js'
import { eventually } from '../../tools/harness/eventually.js'

const ROOT = new URL('.', import.meta.resolve('#root'))
const BUDGET = 60_000

t.test('the pages are served without the database', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await TcpProxy.open(t, databaseUrl)
  const app = await startApp(t, { databaseUrl: proxy.through(databaseUrl) })
  proxy.refuse()
  await eventually('the loss to be noticed', () => app.mode.databaseLost)
  for (const url of ['/', '/login', '/items/A01-0001', '/web/parts/style.css']) {
    const res = await app.inject(url)
    t.equal(res.statusCode, 200, url)
    t.match(res.headers['content-type'], /^text\/(html|css); charset=utf-8$/)
  }
})

t.test('every page for signed-in users has the same header', async (t) => {
  const app = await startApp(t)
  const headers = bearer(await createToken(app.db, 'viewer'))
  const headerOf = (html: string) => /<header>.*<\/header>/s.exec(html)?.[0]
  const header = headerOf(await readFile(new URL('web/parts/header.html', ROOT), 'utf8'))
  t.match(header, 'href="/items"')
  for (const url of ['/', '/items/A01-0001']) {
    t.equal(headerOf((await app.inject({ url, headers })).body), header, url)
  }
})

t.test('only the files of the pages are served, and a browser caches them until they change', async (t) => {
  const app = await startApp(t)
  for (const url of ['/web/', '/web/nothing.js', '/web/..%2fpackage.json', '/web/%2e%2e/package.json']) {
    t.equal((await app.inject(url)).statusCode, 404, url)
  }
  const { headers } = await app.inject('/web/parts/dom.js')
  t.equal(headers['cache-control'], 'no-cache')
  const again = await app.inject({ url: '/web/parts/dom.js', headers: { 'if-none-match': headers.etag } })
  t.equal(again.statusCode, 304)
  t.equal((await app.inject('/login')).headers['cache-control'], 'no-store')
})

t.test('only HTML, style sheets, images and emitted modules of the pages are served', async (t) => {
  const app = await startApp(t)
  for (const url of [
    '/web/pages/items.ts',
    '/web/tsconfig.json',
    '/web/README.md',
    '/web/schemas/events.js',
  ]) {
    t.equal((await app.inject(url)).statusCode, 404, url)
  }
})

t.test('each page preloads every module that its script imports, and no other', async (t) => {
  const app = await startApp(t)
  const headers = bearer(await createToken(app.db, 'viewer'))
  for (const url of ['/', '/login', '/items', '/items/A01-0001']) {
    const { body } = await app.inject({ url, headers })
    const [, script = ''] = /<script type="module" src="([^"]+)"/.exec(body) ?? []
    const preloaded = [...body.matchAll(/<link rel="modulepreload" href="([^"]+)"/g)].map(([, path]) => path)
    const needed = new Set<string>()
    for (const pending = [script]; pending.length > 0;) {
      const path = pending.pop() ?? ''
      const { body: module, statusCode } = await app.inject(path)
      t.equal(statusCode, 200, path)
      for (const [, specifier = ''] of module.matchAll(/^import (?:.+ from )?'(.+)';$/gm)) {
        const { pathname } = new URL(specifier, `http://silo${path}`)
        if (!needed.has(pathname)) pending.push(pathname)
        needed.add(pathname)
      }
    }
    t.strictSame(preloaded, [...needed].sort(), url)
  }
})

t.test('all pages together are under 60 kB compressed', async (t) => {
  const namesIn = async (folder: string, isServed: RegExp) => {
    const names = await readdir(new URL(folder, ROOT), { recursive: true })
    return names.filter((name) => isServed.test(name)).map((name) => folder + name)
  }
  const paths = [...(await namesIn('web/', /\.(?:html|css|svg)$/)), ...(await namesIn('dist/web/', /\.js$/))]
  t.ok(paths.includes('web/parts/style.css') && paths.includes('dist/web/pages/items.js'))
  const sizes = await Promise.all(
    paths.map(async (path) => gzipSync(await readFile(new URL(path, ROOT))).length),
  )
  const total = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(total > 0 && total < BUDGET, `${total} bytes`)
})

t.test('pages have no inline script or style, and the policy allows none', async (t) => {
  const app = await startApp(t)
  const credential = bearer(await createToken(app.db, 'viewer'))
  for (const url of ['/', '/login', '/items/A01-0001']) {
    const { body, headers, statusCode } = await app.inject({ url, headers: credential })
    t.equal(statusCode, 200)
    t.match(headers['content-security-policy'], /default-src 'self'/)
    t.notMatch(headers['content-security-policy'], 'unsafe')
    t.notMatch(body, /<style|<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=/i, url)
  }
})

t.test(
  'unauthenticated users are redirected to sign in, and then to the page, unless its address is long',
  async (t) => {
    const app = await startApp(t)
    const sentTo = async (url: string) => {
      const { statusCode, headers } = await app.inject(url)
      t.equal(statusCode, 303)
      return headers.location
    }
    t.equal(await sentTo('/items/A-1?a=b'), '/login?next=%2Fitems%2FA-1%3Fa%3Db')
    t.equal(
      await sentTo(`/items?${'%25'.repeat(4000)}`),
      '/login?next=%2F',
      'a proxy accepts no longer header',
    )
  },
)

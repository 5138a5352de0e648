import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import t from 'tap'
import { startApp } from '../harness/app.js'

const DOCUMENTS = [
  '/api/openapi.json',
  '/api/asyncapi.json',
  '/docs/swagger-ui-bundle.js',
  '/docs/swagger-ui.css',
  '/web/parts/style.css',
  '/login',
]

const DECODERS = { br: brotliDecompressSync, gzip: gunzipSync, identity: (bytes: Buffer) => bytes }

t.test(
  'public documents are compressed by Accept-Encoding, with an entity tag for each coding',
  async (t) => {
    const app = await startApp(t)
    for (const url of DOCUMENTS) {
      const plain = await app.inject(url)
      t.equal(plain.headers['content-encoding'], undefined, url)
      const tags = new Set<unknown>()
      for (const [coding, decode] of Object.entries(DECODERS)) {
        const headers = { 'accept-encoding': coding }
        const res = await app.inject({ url, headers })
        t.match(res.headers['content-encoding'] ?? 'identity', coding, url)
        t.match(res.headers.vary, /accept-encoding/i)
        t.ok(decode(res.rawPayload).equals(plain.rawPayload), `${url} ${coding}`)
        t.equal(Number(res.headers['content-length']), res.rawPayload.length)
        tags.add(res.headers.etag)
        const { etag } = res.headers
        const held = await app.inject({ url, headers: { ...headers, 'if-none-match': String(etag) } })
        t.equal(held.statusCode, 304, url)
        t.equal(held.headers.etag, etag)
        t.match(held.headers.vary, /accept-encoding/i)
        t.equal(held.rawPayload.length, 0)
      }
      t.equal(tags.size, 3, url)
    }
  },
)

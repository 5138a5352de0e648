import { type Check, NotApplicable, demand } from '../check.js'

/** How long until the first bytes of a stream must arrive, in ms. */
const AT_ONCE_MS = 1000
/** Sensible values of `retry`, in ms. Less overloads a restarting server, more is taken for a broken page. */
const RETRY_MS = { least: 100, most: 60_000 }

/** Checks of the head of the response, and of when it arrives. */
export const answerChecks: Check[] = [
  {
    id: 'status',
    title: 'A stream is answered with status 200.',
    source: 'WHATWG HTML 9.2.3: any other status ends an EventSource for good',
    essential: true,
    async run(suite) {
      const { status } = await suite.openReference()
      demand(status === 200, `the status was ${status}`)
    },
  },
  {
    id: 'live',
    title: 'An event that happens comes on a stream that is open.',
    source: 'WHATWG HTML 9.2.6',
    essential: true,
    async run(suite) {
      await suite.make()
    },
  },
  {
    id: 'content-type',
    title: 'The content type is text/event-stream.',
    source: 'WHATWG HTML 9.2.3 and 9.2.5',
    async run({ reference }) {
      const type = reference.headers['content-type'] ?? 'missing'
      demand(/^text\/event-stream *(;|$)/i.test(type), `it was ${type}`)
    },
  },
  {
    id: 'charset',
    title: 'The charset is UTF-8 where one is named.',
    source: 'WHATWG HTML 9.2.5: streams are always UTF-8',
    async run({ reference }) {
      const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(reference.headers['content-type'] ?? '')?.[1]
      demand(charset === undefined || charset.toLowerCase() === 'utf-8', `it was ${charset}`)
    },
  },
  {
    id: 'no-store',
    title: 'No cache may keep the stream: Cache-Control says no-store.',
    source: 'RFC 9111 5.2.2.5',
    async run({ reference }) {
      const directives = reference.headers['cache-control'] ?? 'missing'
      demand(/(^|,)\s*no-store\s*(,|$)/i.test(directives), `Cache-Control was ${directives}`)
    },
  },
  {
    id: 'no-transform',
    title: 'No proxy may rewrite the stream, nor is it compressed: Cache-Control says no-transform.',
    source: 'RFC 9110 7.7, RFC 9111 5.2.2.6: a compressor holds events back until its window fills',
    async run(suite) {
      const { headers } = await suite.open({ headers: { 'accept-encoding': 'gzip, deflate, br, zstd' } })
      const directives = headers['cache-control'] ?? 'missing'
      const coding = headers['content-encoding'] ?? 'identity'
      demand(coding === 'identity', `Content-Encoding was ${coding}`)
      demand(/(^|,)\s*no-transform\s*(,|$)/i.test(directives), `Cache-Control was ${directives}`)
    },
  },
  {
    id: 'unbuffered',
    title: 'Proxies that buffer are told not to: X-Accel-Buffering says no.',
    source: 'nginx, ngx_http_proxy_module, proxy_buffering',
    async run({ reference }) {
      const buffering = reference.headers['x-accel-buffering']
      if (buffering === undefined && /^nginx/i.test(String(reference.headers.server))) {
        throw new NotApplicable('there is an nginx before it, which keeps this header to itself')
      }
      demand(buffering === 'no', `X-Accel-Buffering was ${String(buffering ?? 'missing')}`)
    },
  },
  {
    id: 'framing',
    title: 'The body has no length: it is chunked, or lasts as long as the connection.',
    source: 'RFC 9112 6.3',
    async run({ reference }) {
      const length = reference.headers['content-length']
      demand(length === undefined, `Content-Length was ${length}`)
    },
  },
  {
    id: 'first-bytes',
    title: 'The first bytes of the body come within a second, before any event happens.',
    source: 'WHATWG HTML 9.2.3: `open` fires with the answer, which proxies hold back until there is a body',
    async run(suite) {
      const stream = await suite.open()
      const came = await stream.until(({ bytes }) => bytes > 0, AT_ONCE_MS)
      demand(came, `nothing came in ${AT_ONCE_MS / 1000} s`)
    },
  },
  {
    id: 'retry',
    title: 'The time to wait before reconnecting is sane: 0.1 to 60 s.',
    source: 'WHATWG HTML 9.2.6, the field retry',
    async run({ reference }) {
      const { retryMs } = reference.reader
      if (retryMs === undefined) throw new NotApplicable('the server leaves it to the client')
      demand(retryMs >= RETRY_MS.least && retryMs <= RETRY_MS.most, `retry was ${retryMs} ms`)
    },
  },
]

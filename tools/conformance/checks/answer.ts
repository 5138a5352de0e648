import { type Check, NotApplicable, demand } from '../check.js'

/** How long until the first bytes of a stream must arrive, in ms. */
const AT_ONCE_MS = 1000
/** Sensible values of `retry`, in ms: less overloads a restarting server, more makes a page seem broken. */
const RETRY_MS = { least: 100, most: 60_000 }

/** Checks of the head of the response, and of when it arrives. */
export const answerChecks: Check[] = [
  {
    id: 'status',
    title: 'The response to a stream request has status 200.',
    source: 'WHATWG HTML 9.2.3: any other status ends an EventSource for good',
    essential: true,
    async run(suite) {
      const { status } = await suite.openReference()
      demand(status === 200, `the status was ${status}`)
    },
  },
  {
    id: 'live',
    title: 'A new event arrives on an open stream.',
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
    title: 'The charset, if one is given, is UTF-8.',
    source: 'WHATWG HTML 9.2.5: streams are always UTF-8',
    async run({ reference }) {
      const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(reference.headers['content-type'] ?? '')?.[1]
      demand(charset === undefined || charset.toLowerCase() === 'utf-8', `it was ${charset}`)
    },
  },
  {
    id: 'no-store',
    title: 'No cache may store the stream: Cache-Control has no-store.',
    source: 'RFC 9111 5.2.2.5',
    async run({ reference }) {
      const directives = reference.headers['cache-control'] ?? 'missing'
      demand(/(^|,)\s*no-store\s*(,|$)/i.test(directives), `Cache-Control was ${directives}`)
    },
  },
  {
    id: 'no-transform',
    title: 'No proxy may transform the stream, and it is not compressed: Cache-Control has no-transform.',
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
    title: 'Proxies must not buffer the stream: X-Accel-Buffering is no.',
    source: 'nginx, ngx_http_proxy_module, proxy_buffering',
    async run({ reference }) {
      const buffering = reference.headers['x-accel-buffering']
      if (buffering === undefined && /^nginx/i.test(String(reference.headers.server))) {
        throw new NotApplicable('nginx is in front, which removes this header')
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
    title: 'The first bytes of the body arrive within a second, before any event.',
    source:
      'WHATWG HTML 9.2.3: `open` fires with the response, which proxies hold back until there is a body',
    async run(suite) {
      const stream = await suite.open()
      const came = await stream.until(({ bytes }) => bytes > 0, AT_ONCE_MS)
      demand(came, `nothing was received in ${AT_ONCE_MS / 1000} s`)
    },
  },
  {
    id: 'retry',
    title: 'The reconnection time is between 0.1 and 60 s.',
    source: 'WHATWG HTML 9.2.6, the field retry',
    async run({ reference }) {
      const { retryMs } = reference.reader
      if (retryMs === undefined) throw new NotApplicable('the server sends no retry')
      demand(retryMs >= RETRY_MS.least && retryMs <= RETRY_MS.most, `retry was ${retryMs} ms`)
    },
  },
]

import { setTimeout as delay } from 'node:timers/promises'
import { type Check, NotApplicable, demand } from '../check.js'
import type { Suite } from '../suite.js'

const VANISHING = 10
/** Interval at which the number of clients is requested, in ms. */
const POLL_MS = 50

/**
 * Sends `method` instead of GET, and demands that the response is complete.
 * @throws {Violation} when it does not end, or is a 405 without Allow
 */
async function demandWhole(suite: Suite, method: string) {
  const answer = await suite.open({ method })
  await answer.until(({ ended }) => ended !== undefined, suite.target.patienceMs)
  demand(answer.ended === 'complete', `the response to ${method}, ${answer.status}, did not end`)
  const { status, headers } = answer
  demand(status !== 405 || headers.allow !== undefined, `405 lacks the header Allow`)
  return answer
}

async function untilCount(count: () => Promise<number>, wanted: number, patienceMs: number): Promise<number> {
  const deadline = performance.now() + patienceMs
  let found = await count()
  while (found !== wanted && performance.now() < deadline) {
    await delay(POLL_MS)
    found = await count()
  }
  return found
}

/** Checks of how connections begin and end. */
export const connectionChecks: Check[] = [
  {
    id: 'unauthorized',
    title: 'Without a token, and with an invalid one, the response is 401 and no stream.',
    source: 'RFC 9110 15.5.2 and 11.6.1',
    async run(suite) {
      if (suite.target.token === undefined) throw new NotApplicable('the server requires no sign-in')
      for (const token of [null, 'wrong']) {
        const { status, headers } = await suite.open({ token })
        const how = token === null ? 'without a token' : 'with a wrong token'
        demand(status === 401, `${how}, the status was ${status}`)
        demand(headers['www-authenticate'] !== undefined, `${how}, WWW-Authenticate was missing`)
      }
    },
  },
  {
    id: 'head',
    title: 'The response to HEAD has no stream: 200, or a refusal.',
    source: 'RFC 9110 9.3.2 and 15.5.6',
    async run(suite) {
      const { status } = await demandWhole(suite, 'HEAD')
      demand(status < 500 || status === 501, `the status was ${status}`)
    },
  },
  {
    id: 'post',
    title: 'POST opens no stream: it is refused.',
    source: 'RFC 9110 15.5.6',
    async run(suite) {
      const { status } = await demandWhole(suite, 'POST')
      demand((status >= 400 && status < 500) || status === 501, `the status was ${status}`)
    },
  },
  {
    id: 'http-1.0',
    title: 'A client of HTTP/1.0 receives the stream without chunked coding.',
    source: 'RFC 9112 6.1',
    async run(suite) {
      const stream = await suite.openHttp10()
      demand(stream.status === 200, `the status was ${stream.status}`)
      const coding = stream.headers['transfer-encoding']
      demand(coding === undefined, `Transfer-Encoding was ${coding}`)
      await suite.demandExactly(stream, await suite.make(), 'over HTTP/1.0')
    },
  },
  {
    id: 'connection-close',
    title: 'A client that sends Connection: close receives the stream.',
    source: 'RFC 9112 9.6',
    async run(suite) {
      const stream = await suite.open({ headers: { connection: 'close' } })
      await suite.demandExactly(stream, await suite.make(), 'with Connection: close')
    },
  },
  {
    id: 'many',
    title: 'Each of many concurrent clients receives every event.',
    source: 'promise: complete',
    async run(suite) {
      const streams = await Promise.all(Array.from({ length: suite.target.connections }, () => suite.open()))
      const made = await suite.make(3)
      const when = `with ${streams.length} clients at once`
      await Promise.all(streams.map((stream) => suite.demandExactly(stream, made, when)))
    },
  },
  {
    id: 'vanished',
    title: 'A client that disconnects is no longer counted.',
    source: 'RFC 9112 9.5',
    async run(suite) {
      const { countClients, patienceMs } = suite.target
      if (!countClients) throw new NotApplicable('the server does not report its number of clients')
      // The clients of earlier checks have disconnected, but may still be counted.
      await untilCount(countClients, 1, patienceMs)
      const before = await countClients()
      const streams = await Promise.all(Array.from({ length: VANISHING }, () => suite.open()))
      const during = await untilCount(countClients, before + VANISHING, patienceMs)
      demand(
        during === before + VANISHING,
        `with ${VANISHING} more clients than ${before} the server counted ${during}`,
      )
      for (const stream of streams) stream.close()
      const after = await untilCount(countClients, before, patienceMs)
      demand(
        after === before,
        `the server counted ${before} before ${VANISHING} clients connected and ${after} after they ` +
          'disconnected',
      )
    },
  },
]

/** Checks that run at the end, on everything that all streams of the run have received. */
export const closingChecks: Check[] = [
  {
    id: 'utf-8',
    title: 'All streams were UTF-8, with a byte order mark nowhere but at the very beginning.',
    source: 'WHATWG HTML 9.2.5 and 9.2.6',
    async run({ streams }) {
      const [first] = streams.flatMap(({ reader }) => [...reader.malformed])
      demand(first === undefined, first ?? '')
    },
  },
  {
    id: 'grammar',
    title: 'All lines matched the grammar, and clients ignore none of them.',
    source: 'WHATWG HTML 9.2.5 and 9.2.6',
    async run({ streams }) {
      const [first] = streams.flatMap(({ reader }) => [...reader.violations])
      demand(first === undefined, first ?? '')
    },
  },
  {
    id: 'ids',
    title: 'Every event had an id, and no id was used for two events or received twice on one stream.',
    source: 'WHATWG HTML 9.2.6, the field id',
    async run(suite) {
      const known = new Map<string, string>()
      for (const stream of suite.streams) {
        const ids = new Set<string>()
        for (const event of suite.logged(stream)) {
          const { id, type, data } = event
          demand(id !== undefined && id !== '', `the event ${type} had no id`)
          demand(!ids.has(id), `the id ${id} was received twice on one stream`)
          const content = `${type} ${data}`
          demand((known.get(id) ?? content) === content, `the id ${id} was used for two different events`)
          ids.add(id)
          known.set(id, content)
        }
      }
    },
  },
  {
    id: 'stop',
    title:
      'At a shutdown every stream ends properly: after a complete event, and with the end of its framing.',
    source: 'RFC 9112 8, WHATWG HTML 9.2.6: what is incomplete at the end is discarded',
    async run(suite) {
      const { stop, patienceMs } = suite.target
      if (!stop) throw new NotApplicable('no command to stop the server was given')
      const [event] = await suite.make()
      const streams = [
        await suite.open(),
        await suite.open({ lastEventId: event?.id }),
        await suite.openHttp10(),
      ]
      for (const stream of streams) await suite.quiet(stream)
      await stop()
      for (const stream of [suite.reference, ...streams]) {
        await stream.until(({ ended }) => ended !== undefined, patienceMs)
        demand(stream.ended !== undefined, 'a stream stayed open')
        demand(stream.ended === 'complete', 'a stream was closed without its end')
        demand(stream.reader.isAtBoundary, 'a stream ended in the middle of an event')
      }
    },
  },
]

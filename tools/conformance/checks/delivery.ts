import { setTimeout as delay } from 'node:timers/promises'
import { type Check, NotApplicable, demand } from '../check.js'
import { type Suite, describe, idOf } from '../suite.js'
import { LONG_TEXT, carries, hostileTexts } from './texts.js'

function filterOf({ target }: Suite): { parameter: string; hiding: string } {
  if (!target.filter) throw new NotApplicable('no filter was given')
  return target.filter
}

/** Checks of which events are delivered to which clients, and in which order. */
export const deliveryChecks: Check[] = [
  {
    id: 'order',
    title: 'All clients receive the same events in the same order.',
    source: 'promise: ordered',
    async run(suite) {
      const streams = [await suite.open(), await suite.open(), await suite.openHttp10()]
      const made = await suite.make(20)
      for (const stream of streams) await suite.demandExactly(stream, made, 'next to another client')
    },
  },
  {
    id: 'text',
    title: 'No text breaks out of its event: line breaks, separators, field names, emoji, long lines.',
    source: 'WHATWG HTML 9.2.5 and 9.2.6: CR, LF and CRLF each end a line',
    async run(suite) {
      const probe = `probe ${Date.now().toString(36)}`
      const [event] = await suite.makeOf([probe])
      if (!event || !carries(event, probe))
        throw new NotApplicable('the trigger does not put its text into data')
      const began = suite.reference.events.length
      const { retryMs } = suite.reference.reader
      const made = await suite.makeOf(Object.values(hostileTexts))
      for (const [name, text] of Object.entries(hostileTexts)) {
        const isWhole = made.some((one) => carries(one, text))
        demand(isWhole, `${name} was not received unchanged`)
      }
      const injected = suite.reference.events
        .slice(began)
        .find(({ id, type }) => id === 'evil' || type === 'evil')
      demand(!injected, `text of an event was received as an event: ${injected ? describe(injected) : ''}`)
      demand(suite.reference.reader.retryMs === retryMs, 'text of an event was received as retry')
    },
  },
  {
    id: 'filter',
    title: 'A filter passes exactly the events that match it.',
    source: "the server's own documentation",
    async run(suite) {
      const { parameter, hiding } = filterOf(suite)
      const type = (await suite.make())[0]?.type ?? ''
      const shows = await suite.open({ query: { [parameter]: type } })
      const hides = await suite.open({ query: { [parameter]: hiding } })
      const made = (await suite.make(3)).filter((event) => event.type === type)
      await suite.demandExactly(shows, made, `with ${parameter}=${type}`)
      await suite.quiet(hides)
      demand(hides.status === 200, `with ${parameter}=${hiding}, the status was ${hides.status}`)
      const leaked = suite.logged(hides).find((event) => event.type !== hiding)
      demand(!leaked, `with ${parameter}=${hiding}, ${leaked ? describe(leaked) : ''} was received`)
    },
  },
  {
    id: 'filter-unknown',
    title: 'An unknown filter is refused with an error status, not ignored.',
    source: 'RFC 9110 15.5.1',
    async run(suite) {
      const { parameter } = filterOf(suite)
      const { status } = await suite.open({ query: { [parameter]: 'no.such.type' } })
      demand(status >= 400 && status < 500, `the status was ${status}`)
    },
  },
  {
    id: 'heartbeat',
    title: 'An idle stream receives a heartbeat in every interval.',
    source: 'WHATWG HTML 9.2.7: proxies drop connections that are silent',
    async run(suite) {
      const { heartbeat, heartbeatMs } = suite.target
      if (heartbeatMs === undefined) throw new NotApplicable('the server sends no heartbeats')
      const beats = () => suite.reference.events.filter(({ type }) => type === heartbeat).length
      const before = beats()
      const came = await suite.reference.until(() => beats() > before, heartbeatMs * 1.5 + 1000)
      demand(came, `no ${heartbeat} was received in one and a half intervals of ${heartbeatMs / 1000} s`)
    },
  },
  {
    id: 'heartbeat-moves',
    title: 'A heartbeat advances the cursor past all events, including those that a filter hides.',
    source: 'WHATWG HTML 9.2.6: any id moves the last event id',
    async run(suite) {
      const { heartbeat, heartbeatMs, filter } = suite.target
      if (heartbeatMs === undefined) throw new NotApplicable('the server sends no heartbeats')
      const stream = await suite.open({ ...(filter && { query: { [filter.parameter]: filter.hiding } }) })
      await suite.make(3)
      const place = stream.events.length
      const beat = () => stream.events.slice(place).find(({ type }) => type === heartbeat)
      await stream.until(() => beat() !== undefined, heartbeatMs * 1.5 + 1000)
      demand(beat() !== undefined, `no ${heartbeat} was received`)
      const again = await suite.open({ lastEventId: idOf(beat()) })
      await suite.demandExactly(again, await suite.make(), `after the id of a ${heartbeat}`)
    },
  },
  {
    id: 'slow-reader',
    title:
      'A client that stops reading for a while delays no other client, and receives everything, once, ' +
      'in order.',
    source: 'promise: complete',
    async run(suite) {
      const { pauseMs, burst } = suite.target
      const slow = await suite.open()
      await suite.quiet(slow)
      slow.pause()
      const [made] = await Promise.all([suite.makeOf(Array<string>(burst).fill(LONG_TEXT)), delay(pauseMs)])
      slow.resume()
      await suite.demandExactly(slow, made, 'when it read again')
    },
  },
]

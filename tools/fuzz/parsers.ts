import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import { EventSource as LaunchDarklyEventSource } from 'launchdarkly-eventsource'
import { type MessageEvent, EventSource as UndiciEventSource } from 'undici'

/** An event as a parser returns it. The data is not parsed. */
export interface Parsed {
  id: string
  type: string
  data: string
}

/**
 * Parses a stream that arrives in these pieces. `types` are the event types that an EventSource listens to.
 */
export type Parse = (pieces: readonly Buffer[], types: readonly string[]) => Promise<Parsed[]>

/** The type of the event that is added at the end, so that a client knows when it has received everything. */
const END = 'end-of-test'

/** Serves the pieces, each as a chunk of its own, to one client. Returns the events that it dispatched. */
async function replay(
  pieces: readonly Buffer[],
  types: readonly string[],
  connect: (url: string, listen: readonly string[], saw: (event: Parsed) => void) => () => void,
): Promise<Parsed[]> {
  const server = createServer(async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const piece of pieces) {
      response.write(piece)
      await setImmediate()
    }
    response.write(`event: ${END}\ndata: {}\n\n`)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const parsed: Parsed[] = []
  await new Promise<void>((resolve) => {
    const close = connect(url, [...types, 'message', END], (event) => {
      if (event.type !== END) return void parsed.push(event)
      close()
      resolve()
    })
  })
  server.closeAllConnections()
  server.close()
  return parsed
}

/** Third-party parsers of event streams, which share no code. */
export const parsers: Record<string, Parse> = {
  'eventsource-parser': async (pieces) => {
    const parsed: Parsed[] = []
    const parser = createParser({
      onEvent: ({ id = '', event: type = 'message', data }) => parsed.push({ id, type, data }),
      onError: (error) => {
        throw error
      },
    })
    const decoder = new TextDecoder('utf-8', { fatal: true })
    for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }))
    return parsed
  },

  'the EventSource of undici': (pieces, types) =>
    replay(pieces, types, (url, listen, saw) => {
      const source = new UndiciEventSource(url)
      for (const type of listen) {
        source.addEventListener(type, (event) => {
          const message = event as MessageEvent
          saw({ id: message.lastEventId, type, data: String(message.data) })
        })
      }
      return () => source.close()
    }),

  'launchdarkly-eventsource': (pieces, types) =>
    replay(pieces, types, (url, listen, saw) => {
      const source = new LaunchDarklyEventSource(url)
      for (const type of listen) {
        source.addEventListener(type, ({ data, lastEventId }) => saw({ id: lastEventId, type, data }))
      }
      return () => source.close()
    }),
}

import { Cursor, EVENT_DATA, EventQuery } from './events.js'
import { securitySchemes } from './security.js'

const reference = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

const messages = Object.fromEntries(
  Object.entries(EVENT_DATA).map(([type, { description, examples, ...payload }]) => [
    type,
    {
      name: type,
      title: type,
      summary: description,
      contentType: 'application/json',
      headers: {
        type: 'object',
        description: 'The fields of the event other than `data` (WHATWG HTML, section 9.2).',
        required: ['id', 'event'],
        properties: { id: Cursor, event: { const: type, description: 'The type of the event.' } },
      },
      payload,
      examples: (examples as object[]).map((example) => ({ payload: example })),
    },
  ]),
)

/**
 * Describes the feed as an AsyncAPI 3.0 document: one channel, and a message for each type of event.
 * @param origin the public origin of the service, like `https://silo.example`
 * @param cookie the name of the session cookie at that origin
 */
export function describeFeed(origin: string, cookie: string) {
  const { host, protocol } = new URL(origin)
  const schemes = securitySchemes(cookie)
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Silo: the feed',
      version: '1',
      description:
        'Every change of every item, live over Server-Sent Events: complete, ordered, unique, resumable, ' +
        'bookmarked, honest. Store the `id` of the last event that was processed, and send it as ' +
        '`Last-Event-ID` when you reconnect.',
    },
    defaultContentType: 'application/json',
    servers: {
      silo: {
        host,
        protocol: protocol.replace(':', ''),
        security: Object.keys(schemes).map((name) => reference('securitySchemes', name)),
      },
    },
    channels: {
      events: {
        address: '/api/events',
        title: 'The feed',
        description:
          'A stream (`text/event-stream`). It begins now, or after the event whose id the client sends.',
        messages: Object.fromEntries(
          Object.keys(messages).map((type) => [type, reference('messages', type)]),
        ),
      },
    },
    operations: {
      follow: {
        action: 'send',
        channel: { $ref: '#/channels/events' },
        summary: 'The server sends each event once, in the order of the log.',
        bindings: { http: { method: 'GET', query: EventQuery, bindingVersion: '0.3.0' } },
        messages: Object.keys(messages).map((type) => ({ $ref: `#/channels/events/messages/${type}` })),
      },
    },
    components: {
      messages,
      securitySchemes: {
        bearer: schemes.bearer,
        cookie: { ...schemes.cookie, type: 'httpApiKey' },
      },
    },
  }
}

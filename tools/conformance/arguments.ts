import { parseArgs } from 'node:util'
import type { Target } from './target.js'
import { countAt, createItems, runCommand } from './trigger.js'

export const USAGE = `Usage: npm run conformance -- <address> [options]

Checks a server of resumable Server-Sent Events, as a black box.
The defaults are those of a Silo at that address.

  --token <token>           sent as "Authorization: Bearer …"
  --path <path>             path of the feed                       (/api/events)
  --trigger <command>       creates an event with $SSE_TEXT in its data
                            (default: creates an item in Silo)
  --filter <name=type>      a filter by event type that hides the events of the trigger
                            (types=item.deleted; none with --trigger)
  --cursor <name>           query parameter like Last-Event-ID, or none (lastEventId)
  --heartbeat <type>        the type of heartbeats                   (heartbeat)
  --heartbeat-every <s>     seconds between two heartbeats, or never        (30)
  --reset <type>            the type of the event for an invalid cursor  (reset)
  --notices <types>         other types that are not entries of the log, comma-separated
                            (server.state)
  --expired <id>            an id that is no longer stored
  --clients <path#pointer>  where the server reports the number of open streams
                            (/ready#/sse_clients; none with --trigger)
  --connections <n>         number of clients of the check "many"          (100)
  --burst <n>               by how many events of 10 kB the slow reader falls behind; fewer
                            than 1000 may fit into the system's buffers  (1000)
  --patience <s>            timeout for everything that must arrive, in s    (5)
  --stop <command>          shuts the server down, to check how streams end
  --json                    prints one JSON document instead of lines
  --help                    prints this
`

/** Thrown when the command line is not valid. The message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

function readNumber(name: string, text: string): number {
  const number = Number(text)
  if (!(number > 0 && number <= 86_400))
    throw new UsageError(`--${name} must be a number greater than 0, not ${text}`)
  return number
}

function readAddress(text: string | undefined): URL {
  const url = URL.canParse(text ?? '') ? new URL(text ?? '') : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError('the first argument must be a URL such as http://127.0.0.1:8080')
  }
  return url
}

function readFilter(text: string): Target['filter'] {
  const [, parameter, hiding] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (parameter === undefined || hiding === undefined) throw new UsageError('--filter must be name=type')
  return { parameter, hiding }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        token: { type: 'string' },
        path: { type: 'string', default: '/api/events' },
        trigger: { type: 'string' },
        filter: { type: 'string' },
        cursor: { type: 'string', default: 'lastEventId' },
        heartbeat: { type: 'string', default: 'heartbeat' },
        'heartbeat-every': { type: 'string', default: '30' },
        reset: { type: 'string', default: 'reset' },
        notices: { type: 'string', default: 'server.state' },
        expired: { type: 'string' },
        clients: { type: 'string' },
        connections: { type: 'string', default: '100' },
        burst: { type: 'string', default: '1000' },
        patience: { type: 'string', default: '5' },
        stop: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

type Options = ReturnType<typeof parse>['values']

function readTarget(origin: URL, options: Options): Target {
  const { token, trigger, stop, cursor } = options
  const filter = options.filter ?? (trigger === undefined ? 'types=item.deleted' : undefined)
  const clients = options.clients ?? (trigger === undefined ? '/ready#/sse_clients' : undefined)
  const every = options['heartbeat-every']
  return {
    url: new URL(options.path, origin),
    token,
    trigger: trigger === undefined ? createItems(origin, token) : (text) => runCommand(trigger, text),
    heartbeat: options.heartbeat,
    reset: options.reset,
    notices: options.notices.split(','),
    heartbeatMs: every === 'never' ? undefined : readNumber('heartbeat-every', every) * 1000,
    cursorParameter: cursor === 'none' ? undefined : cursor,
    filter: filter === undefined ? undefined : readFilter(filter),
    expiredId: options.expired,
    countClients: clients === undefined ? undefined : countAt(origin, clients, token),
    stop: stop === undefined ? undefined : () => runCommand(stop),
    connections: readNumber('connections', options.connections),
    patienceMs: readNumber('patience', options.patience) * 1000,
    burst: readNumber('burst', options.burst),
    quietMs: 100,
    pauseMs: 2000,
  }
}

/**
 * Reads the command line.
 * @returns the server to check, and whether to print JSON; undefined for `--help`
 * @throws {UsageError} when the command line is wrong
 */
export function readArguments(args: string[]): { target: Target; json: boolean } | undefined {
  const { values, positionals } = parse(args)
  if (values.help) return undefined
  if (positionals.length > 1)
    throw new UsageError(`unexpected arguments after the address: ${positionals.slice(1).join(' ')}`)
  return { target: readTarget(readAddress(positionals[0]), values), json: values.json }
}

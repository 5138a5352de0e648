import { type FeedEvent, type State, follow } from './follow.js'
import { type Paint, jsonLine, painter, plain, print, printToStderr } from './screen.js'
import { type Where, openSession } from './session.js'

/** The options of `silo tail`. */
export interface TailOptions extends Where {
  types?: string
  part?: string[]
  since?: string
  json?: boolean
}

const COLOURS: Record<string, Parameters<Paint>[0]> = {
  'item.created': 'green',
  'item.updated': 'yellow',
  'item.deleted': 'red',
  'revision.created': 'cyan',
}

const word = (value: unknown): string =>
  plain(typeof value === 'string' ? value : JSON.stringify(value ?? ''))

/** The details of an event: its data except the part number, the author and the time. */
function tellingOf({ type, data }: FeedEvent): string {
  switch (type) {
    case 'item.created':
      return `${word(data.item_type)}  ${word(data.description)}`
    case 'item.updated':
      return `revision ${word(data.revision)}`
    case 'revision.created':
      return `revision ${word(data.revision_number)}  ${word(data.comment ?? '')}`
    case 'item.deleted':
      return 'archived'
    default:
      return word(data)
  }
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

function lineOf(event: FeedEvent, paint: Paint): string {
  const { at, part_number, actor } = event.data
  const moment = new Date(typeof at === 'string' ? at : NaN)
  const time = Number.isNaN(moment.getTime()) ? '' : clock.format(moment)
  return [
    paint('dim', time),
    paint(COLOURS[event.type] ?? 'reset', plain(event.type).padEnd('revision.created'.length)),
    paint('bold', word(part_number)),
    tellingOf(event).trimEnd(),
    paint('dim', `· ${word(actor)}`),
  ].join('  ')
}

const NOTICES: Record<string, string> = {
  normal: 'items can be changed again',
  'read-only': 'read-only: items can’t be changed',
  degraded: 'the database is unreachable; changes will arrive when it is back',
  draining: 'the server is shutting down',
}

/**
 * Prints events to the standard output, and the state of the connection and of the server to the standard
 * error.
 */
class View {
  readonly #paintLine = painter(process.stdout)
  readonly #paint = painter(process.stderr)
  #mode = 'normal'

  constructor(
    readonly url: string,
    readonly json: boolean,
  ) {}

  event(event: FeedEvent): void {
    if (event.type === 'heartbeat') return
    if (event.type === 'server.state') return this.#showMode(word(event.data.mode))
    if (this.json) return print(jsonLine(JSON.stringify(event)))
    if (event.type === 'reset') return this.#showReset(event)
    print(lineOf(event, this.#paintLine))
  }

  state(state: State): void {
    switch (state.state) {
      case 'live':
        return printToStderr(`${this.#paint('green', '● live')} at ${this.url}`)
      case 'lost':
        return printToStderr(`${this.#paint('red', '○ connection lost')}: ${plain(state.reason)}`)
      case 'reconnecting': {
        const { attempt, inMs } = state
        return printToStderr(
          this.#paint('yellow', `◌ reconnecting (${attempt}) in ${Math.ceil(inMs / 1000)} s…`),
        )
      }
    }
  }

  #showMode(mode: string): void {
    if (mode === this.#mode) return
    this.#mode = mode
    printToStderr(this.#paint('yellow', `! ${NOTICES[mode] ?? mode}`))
  }

  #showReset({ data }: FeedEvent): void {
    const why = data.reason === 'expired' ? 'it is too old' : 'it belongs to another epoch of the log'
    printToStderr(
      this.#paint(
        'red',
        `! Changes may be missing here: the stream can't continue from the last position, because ${why}.`,
      ),
    )
  }
}

/** Prints every change as it happens, across lost connections and restarts, until the process is ended. */
export async function tail({ types, part, since, json = false, ...where }: TailOptions): Promise<void> {
  const client = await openSession(where)
  const query = new URLSearchParams()
  if (types !== undefined) query.set('types', types)
  for (const pattern of part ?? []) query.append('part_number', pattern)
  const view = new View(client.url, json)
  await follow(client, {
    query,
    lastId: since,
    onEvent: (event) => view.event(event),
    onState: (state) => view.state(state),
  })
}

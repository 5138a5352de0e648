import { type Check, NotApplicable, demand } from '../check.js'
import type { Dispatched } from '../grammar.js'
import type { EventStream } from '../stream.js'
import { type Suite, describe, idOf, isSame } from '../suite.js'

const EVENTS = 6

/** Cursors that no server has issued. A browser sends the UTF-8 bytes of any id. */
const NONSENSE = ['nonsense', "' or 1=1 --", '-1', '🦊', '%00%0d%0a', 'x'.repeat(1000)]

/** Splits an id into its number and the text before and after it; undefined if it has no number. */
function takeApart(id: string): { history: string; number: bigint; rest: string } | undefined {
  // Parts and separators, in turn.
  const parts = id.split(/([^0-9A-Za-z]+)/)
  const place = parts.findLastIndex((part) => /^\d+$/.test(part))
  const digits = parts[place] ?? /(?<!\d)\d+$/.exec(id)?.[0]
  if (digits === undefined) return undefined
  const rest = place < 0 ? '' : parts.slice(place + 1).join('')
  return { history: id.slice(0, id.length - rest.length - digits.length), number: BigInt(digits), rest }
}

/**
 * Returns an id like this one, but of another epoch: the letters and digits before its number are changed.
 * @throws {NotApplicable} when there are none
 */
function foreignTo(id: string): string {
  const { history = '', number = 0n, rest = '' } = takeApart(id) ?? {}
  const changed = history.replace(/[0-9a-z]/gi, (sign) => (sign === '0' ? '1' : '0'))
  if (changed === history) throw new NotApplicable(`ids like ${id} contain no epoch`)
  return `${changed}${number}${rest}`
}

function futureOf(id: string): string {
  const parts = takeApart(id)
  if (!parts) throw new NotApplicable(`ids like ${id} contain no number`)
  return `${parts.history}${parts.number + 1_000_000_000n}${parts.rest}`
}

/** Waits for the first event that is an entry of the log or a reset, and returns it. */
async function firstWord(suite: Suite, stream: EventStream): Promise<Dispatched | undefined> {
  const { reset, patienceMs } = suite.target
  const find = () => stream.events.find((event) => event.type === reset || suite.isLogged(event))
  await stream.until(() => find() !== undefined, patienceMs)
  return find()
}

/**
 * Demands that a client with this cursor receives a reset first and then every new event, and that a stream
 * can resume from the id of the reset.
 */
async function demandReset(suite: Suite, cursor: string): Promise<void> {
  const { reset } = suite.target
  const sent = `after ${cursor.slice(0, 40)}`
  const stream = await suite.open({ lastEventId: cursor })
  demand(stream.status === 200, `${sent}, the status was ${stream.status}`)
  const first = await firstWord(suite, stream)
  demand(first !== undefined, `${sent}, nothing was received: no ${reset}`)
  demand(first.type === reset, `${sent}, ${describe(first)} was received without a ${reset} before it`)
  await suite.demandExactly(stream, await suite.make(2), `${sent} and its ${reset}`)

  const again = await suite.open({ lastEventId: idOf(first) })
  const next = await firstWord(suite, again)
  demand(next !== undefined && next.type !== reset, `the stream can't resume from the id of the ${reset}`)
}

/** Demands that an older id in the query parameter changes nothing for a client that sends the header. */
async function demandHeaderWins(suite: Suite, parameter: string): Promise<void> {
  const made = await suite.make(EVENTS)
  const stream = await suite.open({ lastEventId: idOf(made[3]), query: { [parameter]: idOf(made[0]) } })
  await stream.until((s) => suite.logged(s).length > 0, suite.target.patienceMs)
  const [first] = suite.logged(stream)
  demand(first !== undefined, 'with both, nothing was received')
  // Another check tests whether the position is the right one.
  const isOfTheQuery = made.slice(0, 3).some((event) => isSame(event, first))
  demand(!isOfTheQuery, `${describe(first)} was received: the query took precedence`)
}

function parameterOf({ target }: Suite): string {
  if (target.cursorParameter === undefined) throw new NotApplicable('the server has no such parameter')
  return target.cursorParameter
}

/** Checks of what a client receives after it reconnects. */
export const resumingChecks: Check[] = [
  {
    id: 'resume',
    title:
      'With Last-Event-ID the stream continues exactly after that event: nothing missing, nothing repeated.',
    source: 'WHATWG HTML 9.2.3 and 9.2.4, Last-Event-ID',
    async run(suite) {
      const made = await suite.make(EVENTS)
      for (const [i, event] of made.entries()) {
        const stream = await suite.open({ lastEventId: idOf(event) })
        const missed = made.slice(i + 1)
        const due = missed.length > 0 ? missed : await suite.make()
        await suite.demandExactly(stream, due, `after the id ${idOf(event)}`)
      }
    },
  },
  {
    id: 'resume-by-query',
    title: 'The query parameter, for clients that cannot send headers, resumes like the header.',
    source: 'EventSource polyfills',
    async run(suite) {
      const parameter = parameterOf(suite)
      const made = await suite.make(EVENTS)
      const stream = await suite.open({ query: { [parameter]: idOf(made[1]) } })
      await suite.demandExactly(stream, made.slice(2), `after ${parameter}=${idOf(made[1])}`)
    },
  },
  {
    id: 'header-wins',
    title: 'The header takes precedence over the query parameter: a browser updates the header, not the URL.',
    source: 'WHATWG HTML 9.2.3',
    run: (suite) => demandHeaderWins(suite, parameterOf(suite)),
  },
  {
    id: 'bookmark',
    title:
      'A client that is disconnected before its first event can resume, too: it has received its position.',
    source: 'WHATWG HTML 9.2.6: any id moves the last event id',
    async run(suite) {
      const { patienceMs, heartbeatMs = 0 } = suite.target
      const stream = await suite.open()
      await stream.until(({ reader }) => reader.lastId !== undefined, patienceMs + heartbeatMs)
      const position = stream.reader.lastId
      demand(position !== undefined, 'no id was received before the first event')
      stream.close()
      const made = await suite.make(2)
      const again = await suite.open({ lastEventId: position })
      await suite.demandExactly(again, made, `after the position ${position}`)
    },
  },
  {
    id: 'reset-nonsense',
    title: 'A malformed cursor results in a reset event: never silence, never an error status.',
    source: 'WHATWG HTML 9.2.3: a browser can neither see a status nor change its Last-Event-ID',
    async run(suite) {
      for (const cursor of NONSENSE) await demandReset(suite, cursor)
    },
  },
  {
    id: 'reset-foreign',
    title: 'A cursor of another epoch of the log results in a reset event.',
    source: 'as reset-nonsense',
    async run(suite) {
      const [event] = await suite.make()
      await demandReset(suite, foreignTo(idOf(event)))
    },
  },
  {
    id: 'reset-future',
    title: 'A cursor ahead of the log results in a reset event.',
    source: 'as reset-nonsense',
    async run(suite) {
      const [event] = await suite.make()
      await demandReset(suite, futureOf(idOf(event)))
    },
  },
  {
    id: 'reset-expired',
    title: 'A cursor whose next events are no longer stored results in a reset event.',
    source: 'as reset-nonsense',
    async run(suite) {
      const { expiredId } = suite.target
      if (expiredId === undefined) throw new NotApplicable('no expired id was given')
      await demandReset(suite, expiredId)
    },
  },
]

import t, { type Test } from 'tap'
import type { Sink } from '../../feed/connection.js'
import { Feed, type FeedOptions } from '../../feed/feed.js'
import { Filter } from '../../feed/filter.js'
import { checkOf } from '../../lib/check.js'
import type { Block } from '../../feed/frame.js'
import { until } from '../harness/until.js'

const EPOCH = '0123abcd'

/** A client that takes everything at once, unless it is told otherwise. */
class Client implements Sink {
  isFull = false
  fails = false
  #text = ''

  write(block: Block): void {
    if (this.fails) throw new Error('the sink fails')
    this.#text += block.plain.toString()
  }

  end(block: Block): void {
    this.write(block)
  }

  destroy(): void {
    this.#text = ''
  }

  /** The ids of the events of the log that it was sent. */
  get ids(): number[] {
    return [...this.#text.matchAll(/^id: 0123abcd-(\d+)-[0-9a-f]{8}\nevent: item\./gm)].map(([, id]) =>
      Number(id),
    )
  }
}

function startFeed(t: Test, options: Partial<FeedOptions> = {}): Feed {
  const feed = new Feed(
    {
      heartbeatMs: 3_600_000,
      read: () => Promise.reject(new Error('nothing is behind the ring')),
      find: () => Promise.reject(new Error('nothing is looked for')),
      look: () => Promise.resolve(true),
      onError: (error) => {
        throw error
      },
      ...options,
    },
    {},
  )
  t.teardown(() => feed.end())
  feed.restarted(EPOCH, { id: 0, check: '00000000' })
  return feed
}

function join(feed: Feed, clients: number) {
  const owner = { tokenId: 'one', role: 'viewer', expiresAt: new Date(8e15) } as const
  return Array.from({ length: clients }, () => {
    const sink = new Client()
    const { history } = feed
    const start = { position: history.ring.headPosition, history }
    const connection = feed.open({ sink, filter: Filter.everything, owner, start }, () => undefined)
    return { sink, connection }
  })
}

const settle = (feed: Feed, id: number): void =>
  feed.settled([
    { id, check: checkOf(id, '{}'), type: 'item.deleted', part_number: 'A', data: Buffer.from('{}') },
  ])

const having = (clients: { sink: Client }[], ids: number[]): number =>
  clients.filter(({ sink }) => JSON.stringify(sink.ids) === JSON.stringify(ids)).length

t.test('a thousand clients do not keep the event loop from turning', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 1000)
  settle(feed, 1)
  t.ok(having(clients, [1]) < 1000, 'not all at once')
  await until(() => having(clients, [1]) === 1000, 'everybody has it')
})

t.test('what settles in the middle of a round comes to everybody, once and in order', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  const half = having(clients, [1])
  t.ok(half > 0 && half < 250, `${half} have the first alone`)
  await until(() => having(clients, [1, 2]) === 250, 'everybody has both')
})

t.test('whoever joins in the middle of a round takes the turn of nobody', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  const later = join(feed, 150)
  await until(() => having(clients, [1, 2]) === 250, 'those who were there have both')
  settle(feed, 3)
  await until(() => having(later, [3]) === 150, 'those who came have what came after them')
  t.equal(having(clients, [1, 2]) + having(clients, [1, 2, 3]), 250, 'and the others lose nothing by it')
})

t.test('whoever leaves in the middle of a round takes the turn of nobody', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  for (const { connection } of clients.slice(50, 200)) feed.close(connection, 'client-gone')
  const rest = [...clients.slice(0, 50), ...clients.slice(200)]
  await until(() => having(rest, [1, 2]) === 100, 'the others have both')
  t.equal(having(clients, [1, 2]), 100, 'and nobody else')
})

t.test('whoever fails in a round takes the turn of nobody', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 150)
  const failing = clients[50]
  if (!failing) throw new Error('there are fewer')
  failing.sink.fails = true
  t.throws(() => settle(feed, 1), { message: 'the sink fails' })
  failing.sink.fails = false
  await until(() => having(clients, [1]) === 149, 'the others have it')
})

t.test('whose socket is full is sent nothing, and all that it has missed when it drains', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 2)
  const slow = clients[0]
  if (!slow) throw new Error('there are fewer')
  slow.sink.isFull = true
  settle(feed, 1)
  settle(feed, 2)
  t.equal(having(clients, [1, 2]), 1)
  t.equal(having(clients, []), 1)
  slow.sink.isFull = false
  slow.connection.pump()
  t.strictSame(slow.sink.ids, [1, 2])
})

t.test(
  'a client that has an event of the log is not reset while its instance fails to read the log',
  async (t) => {
    const check = checkOf(3, '{}')
    const prunedTo = { id: 0, check: '00000000' }
    const feed = startFeed(t, {
      find: () => Promise.resolve({ epoch: EPOCH, prunedTo, check, newest: 3, isStandby: false }),
    })
    // What this instance has at 3 was undone by a restore, which it has not noticed.
    settle(feed, 1)
    settle(feed, 2)
    feed.settled([
      { id: 3, check: '0badbad0', type: 'item.deleted', part_number: 'A', data: Buffer.from('{"undone":1}') },
    ])
    await t.rejects(feed.locate(`${EPOCH}-3-${check}`), { code: 'NO_ANSWER' })
  },
)

t.test('a client that is reset continues at the head of the log that has reset it', async (t) => {
  const restored = { id: 2, check: checkOf(2, '{}') }
  const prunedTo = { id: 0, check: '00000000' }
  const feed: Feed = startFeed(t, {
    find: () => Promise.resolve({ epoch: EPOCH, prunedTo, check: undefined, newest: 2, isStandby: false }),
    look: async () => {
      feed.restarted(EPOCH, restored)
      return true
    },
  })
  // This instance has not noticed yet that the log was restored.
  for (const id of [1, 2, 3]) settle(feed, id)
  t.strictSame(await feed.locate(`${EPOCH}-4-0badbad0`), { reset: 'unknown' })
  t.equal(feed.head, `${EPOCH}-2-${restored.check}`)
})

t.test('an instance that fails to read the log resets no client', async (t) => {
  const prunedTo = { id: 0, check: '00000000' }
  const feed = startFeed(t, {
    find: () => Promise.resolve({ epoch: EPOCH, prunedTo, check: undefined, newest: 2, isStandby: false }),
    look: () => Promise.resolve(false),
  })
  for (const id of [1, 2, 3]) settle(feed, id)
  await t.rejects(feed.locate(`${EPOCH}-4-0badbad0`), { code: 'NO_ANSWER' })
})

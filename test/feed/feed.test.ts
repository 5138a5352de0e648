import t, { type Test } from 'tap'
import type { Sink } from '../../feed/connection.js'
import { Feed, type FeedOptions } from '../../feed/feed.js'
import { Filter } from '../../feed/filter.js'
import { checkOf } from '../../lib/check.js'
import type { Block } from '../../feed/frame.js'
import { eventually } from '../../tools/harness/eventually.js'

const EPOCH = '0123abcd'

/** A sink that accepts every write, unless `isFull` or `fails` is set. */
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

  /** The ids of the log events that it received. */
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
      poll: () => Promise.resolve(true),
      onError: (error) => {
        throw error
      },
      ...options,
    },
    {},
  )
  t.teardown(() => feed.end())
  feed.onRestart(EPOCH, { id: 0, check: '00000000' })
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
  feed.onSettled([
    { id, check: checkOf(id, '{}'), type: 'item.deleted', part_number: 'A', data: Buffer.from('{}') },
  ])

const having = (clients: { sink: Client }[], ids: number[]): number =>
  clients.filter(({ sink }) => JSON.stringify(sink.ids) === JSON.stringify(ids)).length

t.test('delivery to a thousand clients does not block the event loop', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 1000)
  settle(feed, 1)
  t.ok(having(clients, [1]) < 1000, 'not all in one turn')
  await eventually('every client has it', () => having(clients, [1]) === 1000)
})

t.test('events that settle during a round reach every client, once and in order', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  const half = having(clients, [1])
  t.ok(half > 0 && half < 250, `${half} clients have the first event alone`)
  await eventually('every client has both', () => having(clients, [1, 2]) === 250)
})

t.test('a connect during a round skips no other connection', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  const later = join(feed, 150)
  await eventually('the earlier clients have both', () => having(clients, [1, 2]) === 250)
  settle(feed, 3)
  await eventually('the later clients have what came after they connected', () => having(later, [3]) === 150)
  t.equal(having(clients, [1, 2]) + having(clients, [1, 2, 3]), 250, 'the earlier clients lose nothing')
})

t.test('a disconnect during a round skips no other connection', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 250)
  settle(feed, 1)
  settle(feed, 2)
  for (const { connection } of clients.slice(50, 200)) feed.close(connection, 'client-gone')
  const rest = [...clients.slice(0, 50), ...clients.slice(200)]
  await eventually('the others have both', () => having(rest, [1, 2]) === 100)
  t.equal(having(clients, [1, 2]), 100, 'and no client that has left')
})

t.test('a failing write during a round skips no other connection', async (t) => {
  const feed = startFeed(t)
  const clients = join(feed, 150)
  const failing = clients[50]
  if (!failing) throw new Error('there are fewer')
  failing.sink.fails = true
  t.throws(() => settle(feed, 1), { message: 'the sink fails' })
  failing.sink.fails = false
  await eventually('the others have it', () => having(clients, [1]) === 149)
})

t.test('a client with a full socket is sent nothing until it drains, then all it missed', async (t) => {
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
  'a client whose event is in the log is not reset by an instance that has not noticed a restore',
  async (t) => {
    const check = checkOf(3, '{}')
    const prunedTo = { id: 0, check: '00000000' }
    const feed = startFeed(t, {
      find: () => Promise.resolve({ epoch: EPOCH, prunedTo, check, newest: 3, isStandby: false }),
    })
    // A restore has undone the event that this instance has at id 3, and the instance has not noticed.
    settle(feed, 1)
    settle(feed, 2)
    feed.onSettled([
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
    poll: async () => {
      feed.onRestart(EPOCH, restored)
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
    poll: () => Promise.resolve(false),
  })
  for (const id of [1, 2, 3]) settle(feed, id)
  await t.rejects(feed.locate(`${EPOCH}-4-0badbad0`), { code: 'NO_ANSWER' })
})

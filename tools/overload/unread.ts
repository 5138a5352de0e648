import { setTimeout as delay } from 'node:timers/promises'
import { startPostgres } from '../harness/postgres.js'
import { formatCursor } from '../../feed/cursor.js'
import { NO_CHECK, checkOf } from '../../lib/check.js'
import type { Position } from '../../schemas/events.js'
import { connect, type Sql } from '../../store/driver/connect.js'
import { Member, all, findWrong, percentiles } from './crowd.js'
import type { Experiment } from './findings.js'
import { Service, type Usage, createPeople } from './service.js'

const MIB = 1024 * 1024
/** Maximum memory that a client that never reads may cost the process, in bytes. */
const BYTES_EACH = 64 * 1024
/** Maximum growth while the buffers of such clients are full, in bytes. The ring varies by this much. */
const RING_BYTES = 16 * MIB
/**
 * Memory that all clients share, in bytes: the ring, and the slices that are cached for all. With few clients
 * it would be attributed to each.
 */
const SHARED_BYTES = RING_BYTES + 16 * MIB
/** Approximate size of an event of this run, in bytes. */
const EVENT_BYTES = 1200
const READERS = 4
const WRITES = 50
/**
 * How long until a client that never reads must be disconnected, in ms. Its socket is destroyed after a
 * minute without progress; bytes that the kernel took meanwhile count as progress once.
 */
const CUT_WITHIN_MS = 180_000

const write = (sql: Sql, name: string, count: number) => sql`
  insert into items (part_number, description)
  select ${name}::text || '-' || n, repeat('x', 1000)
    from generate_series(1, ${count}::integer) n
`

/** Makes writes through the API, one after another. Returns how long each took, in ms. */
async function timeWrites(origin: string, token: string, name: string): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < WRITES; i++) {
    const began = performance.now()
    const response = await fetch(`${origin}/api/items`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ part_number: `${name}-${i}` }),
    })
    await response.arrayBuffer()
    if (response.status !== 201) throw new Error(`a write failed with ${response.status}`)
    times.push(performance.now() - began)
  }
  return times
}

const grown = (from: Usage, to: Usage, what: keyof Usage) => to[what] - from[what]

const BEGINNING: Position = { id: 0, check: NO_CHECK }

/** Makes a client resume as if it had received everything up to this event. */
function moveTo(member: Member, epoch: string, position: Position): void {
  member.position = position.id
  member.cursor = formatCursor(epoch, position)
}

/**
 * Measures what clients that never read cost, whether they disturb other clients, and whether they receive
 * everything when they read again or reconnect.
 */
const unread: Experiment = async (scope, findings) => {
  const count = scope.size(1000, 200)
  const server = await startPostgres(scope)
  const database = await server.createDatabase(scope)
  const service = await Service.start(scope, database.url)
  const sql = connect(database.url, 1)
  scope.defer(() => sql.end({ timeout: 1 }))
  const tokens = await createPeople(sql, READERS + count)
  const members = tokens.map((token) => new Member(service.port, token))
  scope.defer(() => {
    for (const member of members) member.leave()
  })
  const readers = members.slice(0, READERS)
  const unreading = members.slice(READERS)
  let head = 0
  const flow = async (name: string, bytes: number) => {
    for (let i = 0; i < bytes / EVENT_BYTES / 500; i++) await write(sql, `${name}-${i}`, 500)
    head = Number((await sql`select max(id) as id from events`)[0]?.id)
    const behind = await all(readers, ({ position = 0 }) => position >= head, 120_000)
    findings.bound(behind === 0, `${behind} clients that read are behind while others don't`)
  }

  // Fill the memory that all connections share, before memory is measured: the ring of recent events, and the
  // cached pages for clients that are far behind.
  for (const reader of readers) reader.connect()
  await all(readers, ({ position }) => position !== undefined, 10_000)
  const [first] = readers
  if (!first) throw new Error('there are no clients that read')
  const [epoch = ''] = first.cursor?.split('-') ?? []
  findings.progress('filling the shared memory')
  await flow('warm', 48 * MIB)
  for (const reader of readers) {
    reader.leave()
    moveTo(reader, epoch, BEGINNING)
    reader.connect()
  }
  await flow('again', 1)
  const writesBefore = await timeWrites(service.origin, tokens[0] ?? '', 'before')
  head += WRITES
  const before = await service.usage()

  findings.progress(`connecting ${count} clients that don't read`)
  // Each client resumes at a different position, so that no two clients share the buffer of the first write.
  const far = Math.floor((6 * MIB) / EVENT_BYTES)
  const places = await sql<{ id: number; text: string }[]>`
    select id, data::text as text
      from events
     where id between ${head - far} and ${head}
     order by id
  `
  for (const [i, member] of unreading.entries()) {
    const place = places[Math.floor((i * places.length) / 2 / count)]
    if (!place) throw new Error('there are fewer events')
    moveTo(member, epoch, { id: place.id, check: checkOf(place.id, place.text) })
    member.connect(false)
    if (i % 50 === 49) await delay(20)
  }
  const connected = async (expected: number, limitMs: number) => {
    const until = performance.now() + limitMs
    while ((await service.clients()) !== expected && performance.now() < until) await delay(200)
    return service.clients()
  }
  const open = await connected(READERS + count, 60_000)
  findings.bound(open === READERS + count, `${open} of ${READERS + count} are connected`)
  findings.progress('writing events')
  await flow('full', 2 * MIB)
  const full = await service.usage()
  await flow('later', 2 * MIB)
  const later = await service.usage()
  const writesWith = await timeWrites(service.origin, tokens[0] ?? '', 'with')
  head += WRITES

  const [half, rest] = [unreading.slice(0, count / 2), unreading.slice(count / 2)]
  findings.progress('half of them read again')
  for (const member of half) member.resume()
  const behindHalf = await all(half, ({ position = 0 }) => position >= head, 240_000)
  const reconnected = half.filter(({ connects }) => connects > 1).length
  findings.bound(
    behindHalf === 0 && reconnected === 0,
    `${behindHalf} clients that read again did not receive everything`,
  )

  if (!scope.settings.quick) {
    findings.progress('waiting until the rest are disconnected')
    const left = await connected(READERS + half.length, CUT_WITHIN_MS)
    findings.bound(
      left === READERS + half.length,
      `${left} are connected after the rest should have been disconnected`,
    )
    findings.progress('the rest reconnect')
    for (const member of rest) member.resume()
    const uncut = await all(rest, ({ isOpen }) => !isOpen, 120_000)
    findings.bound(uncut === 0, `${uncut} did not notice that they were disconnected`)
    for (const member of rest) member.connect()
  } else for (const member of rest) member.resume()
  const behindRest = await all(rest, ({ position = 0 }) => position >= head, 240_000)
  findings.bound(behindRest === 0, `${behindRest} clients that reconnected did not receive everything`)
  const cut = readers.filter(({ connects, isOpen }) => connects > 2 || !isOpen).length
  findings.bound(cut === 0, `${cut} clients that read were disconnected`)
  const wrong = await findWrong(sql, members)
  findings.bound(wrong === undefined, wrong ?? '')

  for (const what of ['used', 'rss'] as const) {
    const each = Math.max(grown(before, full, what), grown(before, later, what)) / count
    const name = what === 'used' ? 'heap and buffers' : 'resident memory'
    findings.figure(`${count} that don't read: ${name} for each, KiB`, each / 1024)
    findings.figure(
      `${count} that don't read: growth of ${name} as 2 MiB more flow, KiB`,
      grown(full, later, what) / 1024,
    )
    // The shared memory, and what the allocator retains, are negligible only with many clients.
    const shared = scope.settings.quick ? SHARED_BYTES / count : 0
    if (what === 'used' || !scope.settings.quick)
      findings.bound(
        each < BYTES_EACH + shared,
        `one that doesn't read costs ${Math.round(each / 1024)} KiB of ${name}`,
      )
  }
  findings.bound(grown(full, later, 'used') < RING_BYTES, 'memory grows while events flow')
  const [quiet, busy] = [percentiles(writesBefore), percentiles(writesWith)]
  findings.figure(
    'a write without them, median and slowest, ms',
    `${quiet.median.toFixed(1)}, ${quiet.most.toFixed(1)}`,
  )
  findings.figure(
    'a write with them, median and slowest, ms',
    `${busy.median.toFixed(1)}, ${busy.most.toFixed(1)}`,
  )
  findings.figure('read again and received everything on the same connection', half.length - behindHalf)
  findings.figure(
    scope.settings.quick
      ? 'read later and received everything'
      : 'disconnected after a minute, reconnected and received everything',
    rest.length - behindRest,
  )
}

export default unread

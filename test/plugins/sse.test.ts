import t, { type Test } from 'tap'
import { parseCursor } from '../../feed/cursor.js'
import { connect } from '../../store/driver/connect.js'
import { createToken, startApp } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { eventually } from '../../tools/harness/eventually.js'
import { Watcher, listen } from '../harness/watcher.js'

/** Starts an application with a subscriber, and opens a connection that writes to its database. */
async function open(t: Test) {
  const databaseUrl = await createDatabase(t)
  const app = await startApp(t, { databaseUrl })
  const watcher = await Watcher.open(t, await listen(app), { token: await createToken(app.db, 'viewer') })
  await watcher.untilSeen('server.state')
  const writer = connect(databaseUrl, 1)
  t.teardown(() => writer.end())
  return { app, databaseUrl, watcher, writer }
}

t.test(
  'the adoption of a promoted log is repeated when its connections are replaced meanwhile',
  async (t) => {
    const { app, databaseUrl, watcher, writer } = await open(t)
    await writer`insert into items (part_number) values ('A-1')`
    await watcher.untilEvents(1)

    // Simulates a promotion. The row is locked, so the adoption waits.
    await writer`update event_log set timeline = timeline + 1`
    const holder = connect(databaseUrl, 1)
    t.teardown(() => holder.end())
    await holder.unsafe('begin; select from event_log for update')
    const waiting = async () =>
      (
        await writer`
          select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
        `
      ).length
    await eventually('the adoption to wait', async () => (await waiting()) > 0)
    app.renewDatabase()
    await holder.unsafe('commit')
    await writer`insert into items (part_number) values ('A-2')`
    await watcher.untilEvents(2, 30_000)
    t.strictSame(
      watcher.events.map(({ data }) => data.part_number),
      ['A-1', 'A-2'],
    )
  },
)

t.test(
  'ids that a promotion skips are not lost events: a write before the adoption causes no reset',
  async (t) => {
    const { watcher, writer } = await open(t)
    await writer`insert into items (part_number) values ('A-1')`
    await watcher.untilEvents(1)
    // In one transaction, so that no pulse adopts the log before the event is written.
    await writer.unsafe(`
    begin;
    update event_log set timeline = timeline + 1;
    select setval(pg_get_serial_sequence('events', 'id'), 33);
    insert into items (part_number) values ('A-2');
    commit
  `)
    await watcher.untilEvents(2)
    t.notOk(watcher.seen.some(({ type }) => type === 'reset'))
    t.equal(parseCursor(watcher.lastId ?? '')?.id, 34)
  },
)

t.test('an event that a promotion has lost between others resets every client', async (t) => {
  const { watcher, writer } = await open(t)
  await writer`insert into items (part_number) values ('A-1'), ('A-2'), ('A-3')`
  await watcher.untilEvents(3)
  await writer.unsafe(`
    begin;
    delete from events where id = 2;
    update event_log set timeline = timeline + 1;
    insert into items (part_number) values ('A-4');
    commit
  `)
  await watcher.untilSeen('reset')
  t.pass('the client is reset')
})

import t from 'tap'
import { createToken, startApp } from '../harness/app.js'
import { Watcher, listen } from '../harness/watcher.js'

t.test('a committed change reaches a watcher, with exactly the keys that were promised', async (t) => {
  const app = await startApp(t)
  const origin = await listen(app)
  const token = await createToken(app.db, 'viewer')
  const watcher = await Watcher.open(t, origin, { token })
  await watcher.untilSeen('server.state')

  await app.db`insert into items (part_number, description, item_type) values ('A01-0002', 'ASSY', 'assembly')`
  await app.db`
    with context as materialized (
      select set_config('silo.comment', 'Updated weight', true), set_config('silo.actor', 'mara', true)
    )
    update items set description = 'ASSY 2' from context
  `
  await app.db`update items set archived_at = now()`
  await watcher.untilEvents(4)

  t.ok(watcher.retryMs !== undefined && watcher.retryMs >= 2000 && watcher.retryMs <= 5000)
  t.strictSame(
    watcher.seen.map(({ type }) => type),
    ['server.state', 'item.created', 'item.updated', 'revision.created', 'item.deleted'],
  )
  const [state, created, updated, revision, deleted] = watcher.seen.map(({ data }) => data)
  t.strictSame(state, { mode: 'normal' })
  t.strictSame(Object.keys(created ?? {}), ['part_number', 'description', 'item_type', 'actor', 'at'])
  t.match(updated, { part_number: 'A01-0002', revision: 2, actor: 'mara', at: /^\d{4}-.*Z$/ })
  t.match(revision, { part_number: 'A01-0002', revision_number: 2, comment: 'Updated weight', actor: 'mara' })
  t.strictSame(Object.keys(deleted ?? {}), ['part_number', 'actor', 'at'])
})

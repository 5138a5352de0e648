import t, { type Test } from 'tap'
import type { Author } from '../../store/author.js'
import { connect } from '../../store/driver/connect.js'
import { verifyPassword } from '../../store/passwords.js'
import { createSession } from '../../store/tokens.js'
import { addUser, createFirstAdmin, deleteUser, updateUser } from '../../store/users.js'
import { createDatabase } from '../harness/database.js'
import { authorOf } from '../harness/people.js'
import { countScrypts } from '../harness/scrypt.js'

async function openDatabase(t: Test) {
  const sql = connect(await createDatabase(t), 10)
  t.teardown(() => sql.end())
  const admins = async (...usernames: string[]) => {
    for (const username of usernames) {
      const user = { username, display_name: username, password_hash: 'none' }
      await addUser(sql, { ...user, role: 'admin' })
    }
  }
  const left = async () =>
    (await sql<{ username: string }[]>`select username from users where role = 'admin' and active`).length
  return { sql, admins, left }
}

t.test('the first start creates an admin with a random password', async (t) => {
  const { sql } = await openDatabase(t)
  const made = await createFirstAdmin(sql, 'admin', undefined)
  t.equal(made?.username, 'admin')
  t.match(made?.password, /^[\w-]{20}$/)
  const [row] = await sql<{ role: string; password_hash: string }[]>`select role, password_hash from users`
  t.equal(row?.role, 'admin')
  t.equal(await verifyPassword(made?.password ?? '', row?.password_hash), true)

  const work = await countScrypts(async () => {
    t.equal(await createFirstAdmin(sql, 'admin', undefined), undefined)
    t.equal(await createFirstAdmin(sql, 'other', 'password'), undefined)
  })
  t.equal(work, 0, 'later starts hash nothing')
  t.equal((await sql`select from users`).length, 1)
})

t.test('a password that was given is not returned', async (t) => {
  const { sql } = await openDatabase(t)
  t.equal(await createFirstAdmin(sql, 'root', 'a given password'), undefined)
  const [row] = await sql<
    { username: string; password_hash: string }[]
  >`select username, password_hash from users`
  t.equal(row?.username, 'root')
  t.equal(await verifyPassword('a given password', row?.password_hash), true)
})

t.test(
  'of several concurrent first starts, one creates the admin and returns the valid password',
  async (t) => {
    const { sql } = await openDatabase(t)
    const made = await Promise.all(Array.from({ length: 5 }, () => createFirstAdmin(sql, 'admin', undefined)))
    const [told, ...others] = made.filter((admin) => admin !== undefined)
    t.strictSame(others, [])
    const rows = await sql<{ password_hash: string }[]>`select password_hash from users`
    t.equal(rows.length, 1)
    t.equal(await verifyPassword(told?.password ?? '', rows[0]?.password_hash), true)
  },
)

t.test('the last active admin cannot be demoted, disabled or deleted', async (t) => {
  const { sql, admins, left } = await openDatabase(t)
  await admins('ada', 'bob')
  const ada = await authorOf(sql, 'ada')
  await updateUser(sql, ada, 'bob', { active: false })
  const refused = { refused: 'last_admin' }
  t.strictSame(await updateUser(sql, ada, 'ada', { role: 'editor' }), refused)
  t.strictSame(await updateUser(sql, ada, 'ADA', { active: false }), refused)
  t.equal(await deleteUser(sql, ada, 'ada'), 'last_admin')
  t.equal(await left(), 1)
  t.match(await updateUser(sql, ada, 'ada', { role: 'admin', active: true, display_name: 'Ada' }), {
    user: { username: 'ada', display_name: 'Ada', role: 'admin', active: true },
  })
  t.match(
    await updateUser(sql, ada, 'bob', { role: 'viewer' }),
    { user: { role: 'viewer' } },
    'a disabled admin can be demoted',
  )
  t.strictSame(await updateUser(sql, ada, 'eve', { role: 'viewer' }), { refused: 'user_not_found' })
  t.equal(await deleteUser(sql, ada, 'eve'), 'user_not_found')
  await updateUser(sql, ada, 'bob', { role: 'admin', active: true })
  t.equal(await deleteUser(sql, ada, 'ada'), undefined)
  t.equal(await left(), 1)
})

t.test('concurrent demotions, disablings and deletions leave one admin', async (t) => {
  const { sql, admins, left } = await openDatabase(t)
  const names = ['ada', 'bob', 'cleo', 'dan', 'eve']
  const update = async (by: Author, name: string, changes: { role?: 'viewer'; active?: false }) => {
    const change = await updateUser(sql, by, name, changes)
    return 'refused' in change ? change.refused : undefined
  }
  const leave = (by: Author, name: string, way: number) =>
    way === 0
      ? deleteUser(sql, by, name)
      : update(by, name, way === 1 ? { role: 'viewer' } : { active: false })
  for (let round = 0; round < 30; round += 1) {
    await sql`delete from users`
    await admins(...names)
    const authors = await Promise.all(names.map((name) => authorOf(sql, name)))
    const results = await Promise.all(authors.map((by, i) => leave(by, names[i] ?? '', (round + i) % 3)))
    const refused = results.filter((result) => result === 'last_admin')
    t.equal(await left(), 1, `round ${round}`)
    t.equal(refused.length, 1, 'one is refused with the reason')
  }
})

t.test('a sign-in during a change of the password does not outlive the change', async (t) => {
  const { sql, admins } = await openDatabase(t)
  await admins('ada')
  const [ada] = await sql<{ id: string; password_hash: string }[]>`select id, password_hash from users`
  if (!ada) throw new Error('there is no ada')
  for (let round = 0; round < 50; round += 1) {
    const by = await authorOf(sql, 'ada')
    const [session] = await Promise.all([
      createSession(sql, ada),
      updateUser(sql, by, 'ada', { password_hash: `hash ${round}` }),
    ])
    const [row] = await sql`select from tokens where revoked_at is null`
    t.equal(row, undefined, session ? 'signed in before the change, and ended by it' : 'refused')
    ada.password_hash = `hash ${round}`
  }
})

import t from 'tap'
import { buildApp } from '../../app.js'
import { testConfig } from '../harness/app.js'
import { createDatabase } from '../harness/database.js'
import { PASSWORD, bearer, createPerson, login } from '../harness/people.js'

t.test(
  'no secret is in the log or in an error, even at the lowest log level and when queries fail',
  async (t) => {
    const lines: string[] = []
    const config = testConfig(await createDatabase(t), { LOG_LEVEL: 'trace' })
    const app = await buildApp(config, { write: (line: string) => lines.push(line) })
    t.teardown(() => app.close())
    await createPerson(app.db, 'root', 'admin')
    const errors: string[] = []
    const keep = <Res extends { body: string; statusCode: number }>(res: Res): Res => {
      if (res.statusCode >= 400) errors.push(res.body)
      return res
    }

    const session = keep(await login(app, 'root')).json<{ token: string }>().token
    const { token } = (
      await app.inject({
        method: 'POST',
        url: '/api/auth/tokens',
        headers: bearer(session),
        payload: { name: 'x' },
      })
    ).json<{ token: string }>()
    const wrong = 'a wrong but telling password'
    const [{ password_hash } = { password_hash: '' }] = await app.db<{ password_hash: string }[]>`
    select password_hash from users
  `
    const secrets = { session, token, PASSWORD, wrong, password_hash, key: config.JWT_SECRET }

    const everything = async () => {
      keep(await login(app, 'root'))
      keep(await login(app, 'root', wrong))
      keep(await login(app, wrong, `${wrong}\0`))
      keep(await app.inject({ url: '/api/auth/me', headers: bearer(token) }))
      keep(await app.inject({ url: '/api/auth/me', headers: bearer(`${session}x`) }))
      keep(await app.inject({ url: '/api/auth/me', cookies: { silo_session_80: session } }))
      keep(await app.inject({ method: 'POST', url: '/logout', cookies: { silo_session_80: `${session}x` } }))
      const headers = { ...bearer(session), 'content-type': 'application/json' }
      for (const payload of [
        `{"password":"${wrong}"`,
        `{"username":"a","password":"${wrong}","role":"${wrong}"}`,
        `{"username":"${'b'.repeat(9)}","password":"${wrong}","role":"viewer"}`,
      ]) {
        keep(await app.inject({ method: 'POST', url: '/api/users', headers, payload }))
        keep(await app.inject({ method: 'PATCH', url: '/api/users/root', headers, payload }))
      }
      const forms = { 'content-type': 'application/x-www-form-urlencoded' }
      const payload = new URLSearchParams({ username: 'root', password: wrong }).toString()
      keep(await app.inject({ method: 'POST', url: '/login', headers: forms, payload }))
    }
    await everything()
    t.ok(errors.length > 5)
    // PostgreSQL quotes the row that violates a constraint in its error.
    await app.db`alter table users add constraint telling check (display_name <> 'telling')`
    await app.db`alter table tokens add constraint telling check (name <> 'telling')`
    const telling = { username: 'telling', password: wrong, role: 'viewer', display_name: 'telling' }
    for (const [method, url, payload] of [
      ['POST', '/api/users', telling],
      ['PATCH', '/api/users/root', { display_name: 'telling' }],
      ['POST', '/api/auth/tokens', { name: 'telling' }],
    ] as const) {
      t.equal(keep(await app.inject({ method, url, headers: bearer(session), payload })).statusCode, 500)
    }
    for (const address of [`/api/events?access_token=${token}`, `/api/${session}/%`, `/nothing/${token}`]) {
      keep(await app.inject(address))
    }
    app.forgetPrincipals()
    await app.db`alter table users rename column display_name to lost`
    await everything()
    t.ok(
      lines.some((line) => line.includes('request failed')),
      'the failure is in the log',
    )
    t.ok(errors.some((body) => body.includes('"internal"')))
    t.notOk(
      [...lines, ...errors].some((text) => text.includes('$scrypt$')),
      'no password hash, of any user',
    )

    for (const [name, secret] of Object.entries(secrets)) {
      t.notOk(
        lines.some((line) => line.includes(secret)),
        `no ${name} in the log`,
      )
      t.notOk(
        errors.some((body) => body.includes(secret)),
        `no ${name} in an error`,
      )
    }
  },
)

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createDataDir, findPostmaster } from '../harness/service.js'
import { eventually } from '../../tools/harness/eventually.js'
import { Watcher } from '../harness/watcher.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))

class Demo {
  stdout = ''
  stderr = ''

  private constructor(readonly child: ChildProcess) {
    child.stdout?.on('data', (text: Buffer) => (this.stdout += text.toString()))
    child.stderr?.on('data', (text: Buffer) => (this.stderr += text.toString()))
  }

  /** Starts the demo in a process group of its own, as a shell does: Ctrl-C reaches the service too. */
  static start(t: Test, dataDir: string): Demo {
    const child = spawn(process.execPath, ['dist/tools/demo/main.js'], {
      cwd: ROOT,
      // The demo must ignore this HOST: it listens at 127.0.0.1 only.
      env: { PATH: process.env.PATH, PORT: '0', HOST: '0.0.0.0', SILO_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    t.teardown(
      () => child.exitCode === null && child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'),
    )
    return new Demo(child)
  }

  origin(): Promise<string> {
    return eventually('the demo to open', () => {
      if (this.child.exitCode !== null) throw new Error(`it ended: ${this.stdout}${this.stderr}`)
      return /^ {2}(http:\S+)$/m.exec(this.stdout)?.[1]
    })
  }

  async interrupt(): Promise<unknown> {
    const ended = once(this.child, 'exit')
    if (this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGINT')
    return (await ended)[0]
  }
}

async function signIn(origin: string, username: string, password: string) {
  const answer = await fetch(`${origin}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  })
  return (await answer.json()) as { token: string; user: { role: string } }
}

t.test(
  'the demo works with the users that it prints, stops with its database and resumes its log',
  async (t) => {
    const dataDir = await createDataDir(t)
    const demo = Demo.start(t, dataDir)
    const origin = await demo.origin()
    t.match(origin, /^http:\/\/127\.0\.0\.1:/, 'it listens at the loopback address only')
    t.match(demo.stdout, 'Demo: ')

    const named = [...demo.stdout.matchAll(/^ {2}(\w+) +(demo-\w+) +(.*)$/gm)]
    t.strictSame(
      named.map(([, username]) => username),
      ['admin', 'mara', 'vera'],
    )
    const roles = ['admin', 'editor', 'viewer']
    let token = ''
    for (const [, username = '', password = ''] of named) {
      const { user, ...session } = await signIn(origin, username, password)
      t.equal(user.role, roles.shift(), username)
      token = session.token
    }

    const watcher = await Watcher.open(t, origin, { token, query: '?since=earliest' })
    const actors = () => new Set(watcher.events.slice(40).map(({ data }) => data.actor))
    await watcher.until(() => actors().size >= 2, 60_000)
    const changes = watcher.events.filter(({ type }) => type === 'revision.created')
    t.ok(changes.length > 0)
    t.ok(
      changes.every(({ data }) => typeof data.comment === 'string' && data.comment.length > 3),
      'each change has a comment',
    )

    t.ok(await findPostmaster(dataDir))
    t.equal(await demo.interrupt(), 0)
    t.equal(demo.stderr.replace(/^silo: creating a database in .*\n/, ''), '', 'it prints no error')
    t.equal(await findPostmaster(dataDir), undefined, 'PostgreSQL has been shut down too')

    const again = Demo.start(t, dataDir)
    const known = await signIn(await again.origin(), 'vera', 'demo-vera')
    const resumed = await Watcher.open(t, await again.origin(), {
      token: known.token,
      lastEventId: watcher.lastId ?? '',
    })
    await resumed.untilEvents(1, 60_000)
    t.notOk(
      resumed.seen.some(({ type }) => type === 'reset'),
      'the log continues',
    )
    t.equal(await again.interrupt(), 0)
  },
)

import { type Account, Person } from './person.js'
import { Service } from './service.js'
import { SHOP } from './shop.js'

const DATA_DIR = process.env.SILO_DATA_DIR ?? '.silo-demo'

const ADMIN: Account = { username: 'admin', password: 'demo-admin', role: 'admin', display_name: 'Admin' }
const MARA: Account = { username: 'mara', password: 'demo-mara', role: 'editor', display_name: 'Mara Vogt' }
const EDITORS: Account[] = [
  MARA,
  { username: 'jonas', password: 'demo-jonas', role: 'editor', display_name: 'Jonas Keller' },
  { username: 'ines', password: 'demo-ines', role: 'editor', display_name: 'Inês Duarte' },
]
const VERA: Account = { username: 'vera', password: 'demo-vera', role: 'viewer', display_name: 'Vera Huber' }

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const tell = (line: string): void => void process.stderr.write(`demo: ${line}\n`)

async function hire(admin: Person, account: Account): Promise<void> {
  const answer = await admin.send('POST', '/api/users', account)
  // 409: the account exists from an earlier run.
  if (!answer.ok && answer.status !== 409) throw new Error(`${account.username}: ${await answer.text()}`)
}

async function stock(mara: Person): Promise<void> {
  const rows = SHOP.map((item) => JSON.stringify(item)).join('\n')
  const answer = await mara.send('POST', '/api/items/import?on_conflict=skip', rows, 'application/x-ndjson')
  if (!answer.ok) throw new Error(`failed to import the items of the shop: ${await answer.text()}`)
}

const welcome = (origin: string): string => `
Demo: a fictional machine shop. Data folder: ${DATA_DIR}

  ${origin}

  admin   demo-admin   admin
  mara    demo-mara    editor
  vera    demo-vera    viewer

Sign in as one of these users to see live changes.
Press Ctrl-C to stop. Delete ${DATA_DIR} to start again from scratch.
`

async function open(origin: string, over: AbortSignal): Promise<void> {
  const admin = await Person.signIn(origin, ADMIN)
  for (const account of [...EDITORS, VERA]) await hire(admin, account)
  const people = []
  for (const account of EDITORS) people.push(await Person.signIn(origin, account))
  const [mara] = people
  if (mara) await stock(mara)
  say(welcome(origin))
  await Promise.all(people.map((person) => person.work(over, tell)))
}

// These passwords are public, so the service only listens on the loopback, whatever HOST says.
const service = new Service({
  LOG_LEVEL: 'warn',
  ...process.env,
  HOST: '127.0.0.1',
  SILO_DATA_DIR: DATA_DIR,
  SILO_ADMIN_USERNAME: ADMIN.username,
  SILO_ADMIN_PASSWORD: ADMIN.password,
})
const over = new AbortController()
function stop(): void {
  over.abort()
  service.stop()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)

const origin = await service.origin
if (origin !== undefined) {
  await open(origin, over.signal).catch((error: unknown) => {
    // Requests in flight fail when the service is stopped.
    if (over.signal.aborted) return
    tell(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
    stop()
  })
}
const code = await service.ended()
process.exitCode ||= code

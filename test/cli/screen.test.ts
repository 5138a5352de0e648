import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { jsonLine, plain } from '../../cli/screen.js'
import { Shell } from '../harness/command.js'

/** Sequences that set a terminal's title, clear it, reverse its text, hide text or break lines. */
const HOSTILE = [
  '\u001b]0;OWNED\u0007',
  '\u001b[2J',
  '\u009b31m',
  '\u0090q',
  '\u0085',
  '\u202egnp.exe',
  '\u2066x',
  '\u061c',
  '\u200b',
  '\u2028',
  '\ufeff',
  '\u{e0041}',
  '\r',
].join('|')

/**
 * Characters that a terminal interprets or hides, except for the line breaks that the command itself writes.
 */
const OBEYED = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u

t.test('a text is printed as one line without any character that a terminal interprets', async (t) => {
  t.notMatch(plain(HOSTILE), OBEYED)
  t.equal(plain('a \n  b\n\nc'), 'a b  c')
  t.equal(
    plain('می\u200cخواهم 👩\u200d🔧 m²'),
    'می\u200cخواهم 👩\u200d🔧 m²',
    'joiners are part of words in some scripts',
  )
  const line = jsonLine(JSON.stringify({ text: HOSTILE }))
  t.notMatch(line, OBEYED)
  t.strictSame(JSON.parse(line), { text: HOSTILE }, 'the JSON has the same value')
})

t.test('a text of 65,535 spaces or line breaks is sanitized in linear time', async (t) => {
  const startedAt = performance.now()
  for (const text of [' ', '\n', ' \n', '\r'].map((unit) => unit.repeat(65_535))) plain(`x${text}x`)
  t.ok(performance.now() - startedAt < 2000)
})

t.test('no text of a server reaches the terminal unescaped, in plain or in JSON output', async (t) => {
  const item = {
    part_number: HOSTILE,
    item_type: HOSTILE,
    description: HOSTILE,
    long_description: HOSTILE,
    sourcing_type: HOSTILE,
    properties: { [HOSTILE]: HOSTILE, n: { [HOSTILE]: 1 } },
    revision: 1,
    updated_at: HOSTILE,
    updated_by: HOSTILE,
  }
  const token = { id: 'x', name: HOSTILE, role: HOSTILE, expires_at: HOSTILE, token: HOSTILE }
  const refusal = { error: HOSTILE, message: HOSTILE, details: [{ field: HOSTILE, message: HOSTILE }] }
  const counts = { created: 0, updated: 0, skipped: 0, unchanged: 0 }
  const rejected = { ...refusal, ...counts, errors: [{ row: 1, field: HOSTILE, message: HOSTILE }] }
  const frames = ['item.created', HOSTILE.replaceAll('\r', '')].map(
    (type) =>
      `id: x-1\nevent: ${type}\ndata: ${JSON.stringify({ ...item, actor: HOSTILE, at: HOSTILE })}\n\n`,
  )
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://silo')
    const send = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    request.resume().on('end', () => {
      if (pathname === '/api/items/refused') send(404, refusal)
      else if (pathname.startsWith('/api/items/import')) send(422, rejected)
      else if (pathname.startsWith('/api/items/')) send(200, item)
      else if (pathname === '/api/items') send(200, { items: [item], next_cursor: null })
      else if (pathname === '/api/auth/login')
        send(200, { token: 'x', user: { username: HOSTILE, role: HOSTILE } })
      else if (pathname === '/api/auth/tokens') send(201, token)
      else if (pathname !== '/api/events') send(403, refusal)
      else if (request.headers['last-event-id'] === 'x-1') send(403, refusal)
      else {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.end(
          `retry: 1\n\n${frames.join('')}id: x-1\nevent: item.created\n` +
            `data: {${HOSTILE.replaceAll('\r', '')}\n\n`,
        )
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const shell = await Shell.open(t, { SILO_URL: `http://127.0.0.1:${port}`, SILO_TOKEN: 'silo_x' })
  const file = join(shell.home, 'parts.csv')
  await writeFile(file, 'Part Number\n')
  const commands = [
    ['get', 'x'],
    ['get', 'x', '--json'],
    ['get', 'refused'],
    ['search', 'x'],
    ['search', 'x', '--json'],
    ['import', file],
    ['token', 'create', 'x'],
    ['tail'],
    ['tail', '--json'],
    ['import', `${HOSTILE}.csv`],
    ['get', 'x', '--url', `ftp://${HOSTILE}`],
    ['login', '--username', 'x', '--password-stdin'],
  ]
  for (const command of commands) {
    const { stdout, stderr } = await shell.run(command, command[0] === 'login' ? 'x\n' : undefined)
    t.notMatch(stdout, OBEYED, `the output of ${command[0]}`)
    t.notMatch(stderr, OBEYED, `the messages of ${command[0]}`)
    t.match(stdout + stderr, /OWNED/, `${command[0]} shows the text`)
  }
})

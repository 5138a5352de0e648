import { fork } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { UsageError, readArguments } from '../../../tools/conformance/arguments.js'
import type { Result } from '../../../tools/conformance/run.js'
import { TinyFeed } from '../../harness/tiny-feed.js'

t.jobs = 4

const MAIN = fileURLToPath(new URL('../../../tools/conformance/main.js', import.meta.url))

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = fork(MAIN, args, { silent: true })
  if (!child.stdout || !child.stderr) throw new Error('no output')
  const [[code], out, err] = await Promise.all([
    once(child, 'exit') as Promise<[number]>,
    text(child.stdout),
    text(child.stderr),
  ])
  return { code, out, err }
}

const optionsFor = (feed: TinyFeed) => [
  feed.url.origin,
  ...[
    '--path',
    '/feed',
    '--token',
    'tiny',
    '--cursor',
    'since',
    '--notices',
    'server.state',
    '--filter',
    'types=other',
  ],
  ...['--heartbeat-every', '0.2', '--connections', '5', '--burst', '5', '--patience', '3'],
  ...['--trigger', `curl -sf --data-binary "$SSE_TEXT" ${feed.url.origin}/publish`],
]

t.test('a conforming server gets one line for each check and exit code 0', async (t) => {
  const feed = await TinyFeed.open(t)
  const { code, out, err } = await run(...optionsFor(feed))
  t.equal(code, 0, out + err)
  t.match(out, /^✓ The response to a stream request has status 200\.$/m)
  t.match(out, /^✓ No text breaks out of its event/m, 'the trigger passes the text on')
  t.match(
    out,
    /^– A client that disconnects is no longer counted\. \(the server does not report its number of .*\)$/m,
  )
  t.match(out, /\n\n33 passed, 0 failed, 3 skipped\n$/)
})

t.test('a faulty server gets exit code 1, and --json shows what was received', async (t) => {
  const feed = await TinyFeed.open(t, { headers: { 'content-type': 'text/plain' } })
  const { code, out } = await run(...optionsFor(feed), '--json')
  t.equal(code, 1)
  const answer = JSON.parse(out) as { url: string; passed: boolean; results: Result[] }
  t.equal(answer.url, feed.url.href)
  t.equal(answer.passed, false)
  t.equal(answer.results.length, 36)
  t.strictSame(
    answer.results.filter(({ outcome }) => outcome === 'failed').map(({ id, reason }) => [id, reason]),
    [['content-type', 'it was text/plain']],
  )
})

t.test('without a server one check fails and the others are skipped', async (t) => {
  const { code, out } = await run('http://127.0.0.1:1', '--patience', '1')
  t.equal(code, 1)
  t.match(
    out,
    /✗ The response to a stream request has .*\n {4}no response: ECONNREFUSED\. \[WHATWG HTML 9\.2\.3: /,
  )
  t.match(out, /0 passed, 1 failed, 35 skipped/)
})

t.test('a trigger that fails is reported with its command', async (t) => {
  const feed = await TinyFeed.open(t)
  const { code, out } = await run(...optionsFor(feed), '--trigger', 'exit 3')
  t.equal(code, 1)
  t.match(out, /✗ A new event arrives .*\n {4}the command ended with 3: exit 3\./)
})

t.test('a wrong command line is refused with the reason', async (t) => {
  for (const [args, message] of [
    [[], /the first argument must be a URL/],
    [['127.0.0.1:8080'], /the first argument must be a URL/],
    [['http://a', 'http://b'], /unexpected arguments after the address: http:\/\/b/],
    [['http://a', '--patience', 'soon'], /--patience must be a number greater than 0, not soon/],
    [['http://a', '--filter', 'types'], /--filter must be name=type/],
    [['http://a', '--nothing'], /Unknown option '--nothing'/],
  ] as const) {
    t.throws(() => readArguments([...args]), { name: UsageError.name, message })
  }
  t.equal(readArguments(['--help']), undefined)
  const { code, out, err } = await run('nowhere')
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /^the first argument must be a URL.*\n\nUsage: /)
})

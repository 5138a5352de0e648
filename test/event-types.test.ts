import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { EVENT_DATA, EVENT_TYPES } from '../schemas/events.js'

const ROOT = fileURLToPath(new URL('.', import.meta.resolve('#root')))
const ALL = Object.keys(EVENT_DATA)
const LOGGED = [...EVENT_TYPES]

/** Lists of types of events that can't be derived from the schemas: where each is, and what it must have. */
const LISTS: [name: string, file: string, part: RegExp, types: readonly string[]][] = [
  ['the help of silo tail', 'cli/main.ts', /only events of these types, comma-separated: [^']*/, LOGGED],
  ['the colours of silo tail', 'cli/tail.ts', /const COLOURS[^]*?\n\}/, LOGGED],
  ['the lines of silo tail', 'cli/tail.ts', /function tellingOf[^]*?\n\}/, LOGGED],
  ['the example in TypeScript', 'examples/follow.ts', /const TYPES = \[[^]*?\n\]/, ALL],
  ["the specification's table of events", 'docs/SPECIFICATION.md', /^\| `item\.created` +\|[^]*?\n\n/m, ALL],
  ["the specification's list of endpoints", 'docs/SPECIFICATION.md', /Streams `item\.created`[^;]*;/, ALL],
]

for (const [name, file, part, types] of LISTS) {
  t.test(`${name} has every type of event, and no other`, async (t) => {
    const [list = ''] = part.exec(await readFile(join(ROOT, file), 'utf8')) ?? []
    t.not(list, '', 'the list is found')
    const named = list.match(/\b(?:item|revision|server)\.[a-z]+\b|\b(?:heartbeat|reset)\b/g) ?? []
    t.strictSame([...new Set(named)].sort(), types.toSorted())
  })
}

import t from 'tap'
import { Scope } from '../../tools/harness/scope.js'
import comeback from '../../tools/overload/comeback.js'
import { type Experiment, Findings } from '../../tools/overload/findings.js'
import limits from '../../tools/overload/limits.js'
import outage from '../../tools/overload/outage.js'
import unread from '../../tools/overload/unread.js'

const FACTS: [title: string, experiment: Experiment][] = [
  ['clients and requests beyond the limits get a retry delay, and /health responds throughout', limits],
  [
    'while PostgreSQL is frozen, stopped or crashed streams stay open, and then receive all missed events',
    outage,
  ],
  ['clients that do not read cost little, delay no other client and can read everything later', unread],
  [
    'many clients that reconnect at once lose no event, and need no more queries than a few clients',
    comeback,
  ],
]

for (const [title, experiment] of FACTS) {
  t.test(title, async (t) => {
    const findings = new Findings()
    await new Scope({ quick: true, profiles: undefined }).within(280_000, (scope) =>
      experiment(scope, findings),
    )
    for (const [name, value] of findings.figures) t.comment(`${name}: ${value}`)
    t.strictSame(findings.broken, [])
  })
}

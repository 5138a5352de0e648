import t from 'tap'
import { Scope } from '../bench/harness/scope.js'
import comeback from '../overload/comeback.js'
import { type Experiment, Findings } from '../overload/findings.js'
import limits from '../overload/limits.js'
import outage from '../overload/outage.js'
import unread from '../overload/unread.js'

const FACTS: [title: string, experiment: Experiment][] = [
  ['whoever there is no place for is told when to come back, and /health answers throughout', limits],
  ['with PostgreSQL frozen, stopped or crashed, streams stay and get all they missed', outage],
  ['readers that never read cost little, disturb nobody, and get everything when they read again', unread],
  ['a crowd that comes back at once loses nothing, and asks no more of the database than a few', comeback],
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

import t from 'tap'
import { findEmptyTests, findFailedTests, findSkippedTests, isComplete } from './results.js'

t.test('a test that ended without an assertion is found at any depth, unless it was skipped', (t) => {
  const tap = `TAP version 14
# Subtest: empty
    1..0
ok 1 - empty # time=70.331ms

# Subtest: comment only
    # nothing
    1..0
ok 2 - comment only # time=46.509ms

# Subtest: group
    # Subtest: empty inside
        1..0
    ok 1 - empty inside # time=1.422ms
    
    1..1
ok 3 - group # time=42.93ms

ok 4 - skipped # SKIP not installed here: nginx
# Subtest: whole
    ok 1 - should be equal
    1..1
ok 5 - whole # time=54.301ms

1..5
`
  t.strictSame(findEmptyTests(tap), ['empty', 'comment only', 'empty inside'])
  t.end()
})

t.test('a failed assertion is listed once, with the groups around it', (t) => {
  const tap = `TAP version 14
# Subtest: group
    # Subtest: inside
        ok 1 - should be equal
        not ok 2 - should be equal
          ---
          diff: |
            -2
            +1
          ...
        1..2
        # failed 1 of 2 tests
    not ok 1 - inside # time=1.422ms

    # Subtest: after it
        ok 1 - should be equal
        1..1
    ok 2 - after it # time=1ms

    1..2
not ok 1 - group # time=42.93ms

# Subtest: unanswered
    not ok 1 - timeout!
      ---
      signal: SIGTERM
      ...
    1..1
not ok 2 - unanswered # time=54.301ms

1..2
`
  t.strictSame(findFailedTests(tap), ['group > inside > should be equal', 'unanswered > timeout!'])
  t.end()
})

t.test('a skipped test is listed with its reason, unless it was left out by TAP_GREP', (t) => {
  const tap = `TAP version 14
    ok 1 - behind nginx # SKIP not installed here: nginx
ok 2 - other # SKIP filter: /wanted/
`
  t.strictSame(findSkippedTests(tap), ['behind nginx (not installed here: nginx)'])
  t.end()
})

t.test('an output is complete if it has the plan of at least one test', (t) => {
  t.ok(isComplete('TAP version 14\nok 1 - a\n1..1\n'))
  t.notOk(isComplete('TAP version 14\n    1..1\n'))
  t.notOk(isComplete('TAP version 14\n1..0\n'))
  t.notOk(isComplete(''))
  t.end()
})

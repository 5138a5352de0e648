import type { Test } from 'tap'
import { Random } from '../../tools/harness/random.js'

/**
 * Returns random choices for this test, and prints their seed. `TEST_SEED` sets it, to repeat the choices of
 * a failed run.
 */
export function seededRandom(t: Test): Random {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 32))
  t.comment(`TEST_SEED=${seed}`)
  return new Random(seed)
}

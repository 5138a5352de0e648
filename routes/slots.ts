import { ApiError } from '../errors.js'

/**
 * Lets at most `most` callers in at a time, so that long work leaves sessions and memory to the short.
 * @returns takes a place, and returns what gives it back, once; throws `overloaded` when there is none
 */
export function slots(most: number): () => () => void {
  let free = most
  return () => {
    if (free === 0) throw new ApiError('overloaded', { headers: { 'retry-after': '10' } })
    free -= 1
    return () => {
      free += 1
    }
  }
}

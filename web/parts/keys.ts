/**
 * Returns the keys of an object literal, in order. With `Key` given, the compiler demands that the literal
 * has every key of that type and no other.
 */
export const keysOf = <Key extends string>(literal: Record<Key, unknown>): Key[] =>
  Object.keys(literal) as Key[]

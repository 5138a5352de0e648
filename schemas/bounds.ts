/**
 * Maximum lengths of texts, in characters. That of `properties` is in bytes of JSON without whitespace, with
 * numbers as PostgreSQL prints them (`1e300` has 301 digits). The tables have the same bounds
 * (migrations/001-schema.sql), for writes in SQL.
 */
export const BOUNDS = {
  description: 2000,
  long_description: 65_536,
  comment: 4000,
  properties: 65_536,
  display_name: 200,
  token_name: 200,
  category: 32,
} as const

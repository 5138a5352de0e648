/**
 * Settings that the statements of the service rely on. A server, a database or a role may set each of them
 * otherwise for clients of another kind: with the date style `SQL, DMY`, a client that expects ISO reads the
 * 5th of November as the 11th of May. Settings that affect only the speed of a statement (`work_mem`, `jit`,
 * `plan_cache_mode`) are left to the administrator, and so is `default_transaction_read_only`, which the
 * service respects.
 */
const RELIED_ON: Record<string, string> = {
  // Formats of values.
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  // Semantics of statements.
  transform_null_equals: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // With a limit, a search returns a random subset of the rows.
  gin_fuzzy_search_limit: '0',
  // With `replica`, the triggers that write the event log don't run.
  session_replication_role: 'origin',
  // Timeouts of statements and connections: the service has its own.
  statement_timeout: '0',
  lock_timeout: '0',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  // If on, the first error, such as a duplicate key, ends the connection.
  exit_on_error: 'off',
}

/**
 * Quotes a literal that means the same whatever `standard_conforming_strings` is: backslashes occur only in
 * an `E` literal.
 */
function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/**
 * Returns the statement that sets up a connection with `RELIED_ON` and, taking precedence, `settings`.
 *
 * - It sets only what differs: a role that may not change a setting can connect if its value is right.
 * - It skips settings that an older server doesn't know.
 * - It changes `synchronous_commit` only from `off`, because all other values wait for the disk, and some for
 *   more.
 * - It relies on no setting itself.
 */
export function setUpStatement(settings: Record<string, string> = {}): string {
  const wanted = Object.entries({ ...RELIED_ON, ...settings })
    .map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
    .join(', ')
  return `
    select pg_catalog.set_config(wanted.name, wanted.value, false)
      from (
             select column1 as name, column2 as value
               from (values ${wanted}) as relied_on
              where pg_catalog.current_setting(column1, true) operator(pg_catalog.<>) column2
              union all
             select 'synchronous_commit', 'on'
              where pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off'
           ) as wanted
  `
}

/**
 * What the statements of this service rely on. Each can be set otherwise for a server, a database or a role, without harm to whom it
 * was meant for: with the date style `SQL, DMY`, a client that reads ISO takes the 5th of November for the 11th of May.
 * What only decides how fast a statement is (`work_mem`, `jit`, `plan_cache_mode`) stays the administrator's, and so does
 * `default_transaction_read_only`, which is a decision to be respected.
 */
const RELIED_ON: Record<string, string> = {
  // How values are written and read.
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  // What statements mean.
  transform_null_equals: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  // A limit here makes a search return some of the rows, at random.
  gin_fuzzy_search_limit: '0',
  // Under any other role than `origin` the triggers that write the event log don't run.
  session_replication_role: 'origin',
  // How long a statement or a connection may last: the service has limits of its own.
  statement_timeout: '0',
  lock_timeout: '0',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  // Ends the connection with the first error, a duplicate key among them.
  exit_on_error: 'off',
}

/** In the two notations of `standard_conforming_strings` the same, because it has no backslash. */
function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/**
 * The statement that sets up a connection: what the service relies on, and `settings` on top. It changes only what is different, so
 * that a setting that a role may not change is no obstacle where it is right; it leaves out what an older server doesn't know; and
 * it raises `synchronous_commit` from `off` alone, because `remote_apply` and its kin promise more. It relies on no setting itself.
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

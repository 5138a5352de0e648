import t from 'tap'
import { type DatabaseAddress, findPassword, hostName, parseDatabaseUrl } from '../../lib/database-url.js'

const parse = (url: string, env: NodeJS.ProcessEnv = {}): DatabaseAddress =>
  parseDatabaseUrl(url, env, 'mara')
const hostsOf = (url: string, env?: NodeJS.ProcessEnv): string[] => parse(url, env).hosts.map(hostName)

t.test('hosts are parsed as by the clients of PostgreSQL', async (t) => {
  const cases: Record<string, string[]> = {
    'postgres://db': ['db:5432'],
    'postgresql://u:p@db:6432/silo': ['db:6432'],
    'postgres://a,b:6432,[::1]:7000,[fe80::1%25eth0]/silo': [
      'a:5432',
      'b:6432',
      '[::1]:7000',
      '[fe80::1%eth0]:5432',
    ],
    'postgres:///silo': ['localhost:5432'],
    'postgres://': ['localhost:5432'],
    'postgres://:6432/silo': ['localhost:6432'],
    'postgres://%2Frun%2Fpostgresql/silo': ['/run/postgresql/.s.PGSQL.5432'],
    'postgres://u@%2Frun%2Fpostgresql:6432/silo': ['/run/postgresql/.s.PGSQL.6432'],
    'postgres:///silo?host=/run/postgresql&port=5433': ['/run/postgresql/.s.PGSQL.5433'],
    'postgres://u@localhost/silo?host=%2Frun%2Fpg': ['/run/pg/.s.PGSQL.5432'],
    'postgres:///silo?host=@silo': ['@silo/.s.PGSQL.5432'],
    'postgres:///silo?host=a,b&port=1,2': ['a:1', 'b:2'],
    'postgres:///silo?host=a,::1&port=7': ['a:7', '[::1]:7'],
  }
  for (const [url, hosts] of Object.entries(cases)) t.strictSame(hostsOf(url), hosts, url)
  t.strictSame(hostsOf('postgres:///silo', { PGHOST: 'x', PGPORT: '7' }), ['x:7'])
  t.strictSame(hostsOf('postgres://db/silo', { PGHOST: 'x', PGPORT: '7' }), ['db:7'])
})

t.test('the user, the password and the database are decoded, wherever they are in the address', async (t) => {
  const cases: [string, Partial<DatabaseAddress>, NodeJS.ProcessEnv?][] = [
    [
      'postgres://jos%C3%A9:p%40ss%2Fw%3Ard%25+%23@db/my%20db',
      { user: 'josé', password: 'p@ss/w:rd%+#', database: 'my db' },
    ],
    ['postgres://u:p:q?r#s@db/silo', { user: 'u', password: 'p:q?r#s', database: 'silo' }],
    ['postgres://db', { user: 'mara', password: undefined, database: 'mara' }],
    ['postgres://u@db', { user: 'u', password: undefined, database: 'u' }],
    ['postgres://u:p@db/silo?user=v&password=q%26&dbname=x', { user: 'v', password: 'q&', database: 'x' }],
    [
      'postgres://db',
      { user: 'v', password: 'q', database: 'x' },
      { PGUSER: 'v', PGPASSWORD: 'q', PGDATABASE: 'x' },
    ],
    ['postgres://u:p@db/silo', { user: 'u', password: 'p' }, { PGUSER: 'v', PGPASSWORD: 'q' }],
  ]
  for (const [url, expected, env] of cases) t.match(parse(url, env), expected, url)
})

t.test('each accepted parameter has its effect', async (t) => {
  const cases: [string, object][] = [
    ['', { tls: { mode: 'prefer' }, sessionAttributes: 'any', connectTimeoutMs: 5000, keepAliveSeconds: 60 }],
    ['sslmode=disable', { tls: { mode: 'disable' } }],
    ['ssl=true', { tls: { mode: 'require' } }],
    ['sslmode=require&sslrootcert=/ca.pem', { tls: { mode: 'verify-ca', rootCertFile: '/ca.pem' } }],
    ['sslrootcert=system', { tls: { mode: 'verify-full', rootCertFile: undefined } }],
    [
      'sslmode=verify-full&sslcert=a&sslkey=b&sslpassword=c&sslcrl=d' +
        '&ssl_min_protocol_version=TLSv1.3&sslsni=0',
      {
        tls: {
          mode: 'verify-full',
          certFile: 'a',
          keyFile: 'b',
          keyPassphrase: 'c',
          crlFile: 'd',
          minVersion: 'TLSv1.3',
          sendsName: false,
        },
      },
    ],
    ['sslmode=require&sslnegotiation=direct', { tls: { direct: true } }],
    ['target_session_attrs=read-write', { sessionAttributes: 'read-write' }],
    ['connect_timeout=12', { connectTimeoutMs: 12_000 }],
    ['application_name=stock', { applicationName: 'stock' }],
    ['options=-c%20search_path%3Dstock', { options: '-c search_path=stock' }],
    ['keepalives=0', { keepAliveSeconds: 0 }],
    ['keepalives_idle=10', { keepAliveSeconds: 10 }],
    ['load_balance_hosts=random', { shuffled: true }],
    ['passfile=/pw', { passfile: '/pw' }],
    ['require_auth=scram-sha-256', { authMethods: ['scram-sha-256'] }],
    ['require_auth=!password,!md5', { authMethods: ['none', 'scram-sha-256'] }],
    ['channel_binding=prefer&gssencmode=disable&client_encoding=utf8', {}],
  ]
  for (const [query, expected] of cases) t.match(parse(`postgres://db/silo?${query}`), expected, query)
  t.match(parse('postgres://db/silo', { PGSSLMODE: 'verify-full' }), { tls: { mode: 'verify-full' } })
})

t.test('an unusable address is refused with the reason, without any part of a password', async (t) => {
  const SECRET = 'hunter2'
  const cases: [string, RegExp][] = [
    ['mysql://db/silo', /must begin with postgres:\/\//],
    [`postgres://u:${SECRET}/x@db/silo`, /%40 and %2F/],
    [`postgres://u:${SECRET}@${SECRET}@db/silo`, /%40 and %2F/],
    [`postgres://u:1/${SECRET}@db/silo`, /%40 and %2F/],
    [`postgres://u:1/x?${SECRET}=y@db/silo`, /%40 and %2F/],
    [`postgres://u:${SECRET}%zz@db/silo`, /^the password contains an invalid percent-encoding/],
    [`postgres://u:${SECRET}%00@db/silo`, /^the password contains NUL/],
    [`postgres://${SECRET}:${SECRET}:1/silo`, /more than one colon/],
    [`postgres://db:${SECRET}/silo`, /^a port must be a whole number, 1 to 65535$/],
    ['postgres://db:0/silo', /^a port must be/],
    ['postgres://db:65536/silo', /^a port must be/],
    ['postgres://::1/silo', /brackets/],
    ['postgres://[::1/silo', /brackets/],
    ['postgres://db/silo/items', /contains a "\/"/],
    ['postgres://a,b/silo?port=1,2,3', /as many numbers as there are hosts/],
    [
      `postgres://db/silo?foo=${SECRET}`,
      /^the parameter foo is not supported: accepted are application_name/,
    ],
    [
      'postgres://db/silo?service=x',
      /^the parameter service is not supported: put the settings of the service file/,
    ],
    ['postgres://db/silo?schema=public', /^the parameter schema is not supported: use options=/],
    ['postgres://db/silo?sslmode', /name=value/],
    ['postgres://db/silo?options=-c a=b', /"=" in a value as %3D/],
    ['postgres://db/silo?sslmode=require&sslmode=disable', /^the parameter sslmode is given twice/],
    [
      'postgres://db/silo?sslmode=on',
      /^sslmode must be disable, allow, prefer, require, verify-ca or verify-full$/,
    ],
    ['postgres://db/silo?ssl=true&sslmode=disable', /must not both be given/],
    ['postgres://db/silo?sslmode=require&sslrootcert=system', /^sslrootcert is system/],
    ['postgres://db/silo?sslcert=a', /must be given together/],
    ['postgres://db/silo?sslnegotiation=direct', /^sslnegotiation is direct/],
    ['postgres://db/silo?channel_binding=require', /^channel_binding is require, which is not supported/],
    ['postgres://db/silo?gssencmode=require', /^gssencmode must be/],
    ['postgres://db/silo?client_encoding=LATIN1', /^client_encoding must be UTF8/],
    ['postgres://db/silo?target_session_attrs=master', /^target_session_attrs must be any, read-write/],
    ['postgres://db/silo?connect_timeout=0', /^connect_timeout must be a whole number of seconds/],
    ['postgres://db/silo?require_auth=gss', /^require_auth must be/],
    ['postgres://db/silo?load_balance_hosts=yes', /^load_balance_hosts must be/],
  ]
  for (const [url, message] of cases) {
    t.throws(() => parse(url), { name: 'DatabaseUrlError', message }, url)
    try {
      parse(url)
    } catch (err) {
      t.notOk(String(err).includes(SECRET), 'the message contains nothing of the password')
    }
  }
  t.throws(() => parse('postgres://db/silo', { PGSSLMODE: 'on' }), {
    message: /^sslmode \(from PGSSLMODE\) must/,
  })
  t.throws(() => parse('postgres://db/silo', { PGSERVICE: 'x' }), { message: /^PGSERVICE is not supported/ })
})

t.test('a password file gives the password of the first matching line', async (t) => {
  const text = [
    '# host:port:database:user:password',
    'other:*:*:*:wrong',
    'db:5432:si\\:lo:mara:a\\:b\\\\c',
    'localhost:5433:*:*:by socket',
    'db:*:*:*:p:q',
    'db:*:*:*:late',
  ].join('\n')
  const find = (host: DatabaseAddress['hosts'][0], database: string, user = 'mara') =>
    findPassword(text, { host, database, user })
  t.equal(find({ host: 'db', port: 5432 }, 'si:lo'), 'a:b\\c')
  t.equal(find({ host: 'db', port: 1 }, 'silo'), 'p:q')
  t.equal(find({ path: '/run/postgresql/.s.PGSQL.5433' }, 'silo'), 'by socket')
  t.equal(find({ host: 'elsewhere', port: 1 }, 'silo'), undefined)
})

import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { type Sql, connect } from '../../store/driver/connect.js'
import { listItems } from '../../store/items.js'
import { migrate } from '../../store/migrate.js'
import { createDatabase, serverUrl } from '../harness/database.js'

/** Texts that are equal for a search: each is found by all others of its line. */
const ALIKE = [
  ['Gehäuse'.normalize('NFC'), 'Gehäuse'.normalize('NFD'), 'GEHÄUSE', 'gehäuse'],
  ['10 µF', '10 μF', '10 ΜF', '１０ ΜＦ'],
  ['ﬁx', 'fix', 'FIX', 'ｆｉｘ'],
  ['Å', 'Å', 'å', 'Å'],
  ['20 ℃', '20 °C', '20 °c'],
  ['Straße', 'STRASSE', 'STRAẞE', 'strasse'],
  ['ΟΔΟΣ', 'οδος', 'οδοσ'],
  ['Привод', 'ПРИВОД', 'привод'],
  ['5 m²', '5 M2'],
  ['100\u00a0％ \\_', '100 % ＼＿'],
]

/** Creates a database with these options, as another administrator would. */
async function openDatabase(t: Test, options: string): Promise<Sql> {
  const name = `silo_test_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const admin = postgres(serverUrl(), { max: 1, onnotice: () => undefined })
  await admin.unsafe(`create database ${name} template template0 encoding 'UTF8' ${options}`)
  const url = new URL(serverUrl())
  url.pathname = `/${name}`
  const sql = connect(url.href, 1)
  t.teardown(async () => {
    await sql.end()
    await admin.unsafe(`drop database ${name} with (force)`)
    await admin.end()
  })
  await migrate(sql)
  return sql
}

async function open(t: Test): Promise<Sql> {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  return sql
}

const LOCALES = [
  "locale 'C'",
  "locale 'C.UTF-8'",
  "locale 'C' locale_provider icu icu_locale 'de-AT'",
  // In Turkish, the upper case of "i" is "İ", not "I".
  "locale 'C' locale_provider icu icu_locale 'tr'",
]
for (const locale of LOCALES) {
  t.test(`in a database with ${locale} a text is found in whatever form it is typed`, async (t) => {
    const sql = await openDatabase(t, locale)
    for (const [line, texts] of ALIKE.entries()) {
      for (const [n, description] of texts.entries()) {
        await sql`insert into items (part_number, description) values (${`L${line}-${n}`}, ${description})`
      }
    }
    for (const [line, texts] of ALIKE.entries()) {
      for (const search of texts) {
        const { rows: found } = await listItems(sql, { search, sort: 'part_number', limit: 100 })
        const numbers = found.map(({ part_number }) => part_number)
        t.strictSame(
          numbers.filter((number) => number.startsWith(`L${line}-`)),
          texts.map((_, n) => `L${line}-${n}`),
          search,
        )
      }
    }
    t.equal(
      (await listItems(sql, { search: 'Gehause', sort: 'part_number', limit: 9 })).rows.length,
      0,
      'a is not ä',
    )
    t.equal(
      (await listItems(sql, { search: '％％％', sort: 'part_number', limit: 9 })).rows.length,
      0,
      'no wildcard',
    )
  })
}

t.test('a search reads the trigram index', async (t) => {
  const sql = await open(t)
  await sql`
    insert into items (part_number, description)
    select 'N-' || n, 'part ' || n from generate_series(1, 5000) n
  `
  await sql`insert into items (part_number, description) values ('G', 'Gehäuse')`
  await sql`analyze items`
  const plan = await sql`explain select id from items where search_text like search_form('%GEHÄUSE%')`
  t.match(JSON.stringify(plan), /items_search/)
})

t.test(
  'text that SQL writes is stored in NFC: texts, names and values of properties, comments, display names',
  async (t) => {
    const sql = await open(t)
    const [nfc, nfd] = ['é', 'e\u0301']
    await sql`
    with comment as materialized (select set_config('silo.comment', ${nfd}, true) as set)
    insert into items (part_number, description, long_description, properties)
    select 'A', ${nfd}, ${nfd},
           ${sql.json({ [nfd]: { list: [nfd, 1, null, true, {}, []], [`x\n${nfd}`]: 'ok' } })}
      from comment
  `
    const stored = { [nfc]: { list: [nfc, 1, null, true, {}, []], [`x\n${nfc}`]: 'ok' } }
    const read = () => sql`select description, long_description, properties, comment, revision from items`
    t.strictSame(
      [...(await read())],
      [{ description: nfc, long_description: nfc, properties: stored, comment: nfc, revision: 1 }],
    )
    await sql`update items set description = ${nfd}, properties = ${sql.json({ [nfd]: stored[nfc] ?? null })}`
    t.match(await read(), [{ revision: 1 }], 'another form of the same text is no change')
    await t.rejects(sql`update items set properties = ${sql.json({ [nfc]: 1, [nfd]: 2 })}`, /Unicode form/)
    await sql`update items set description = ${`${nfd}!`}`
    t.match(await read(), [{ revision: 2, description: `${nfc}!` }])
    await sql`
      insert into users (username, display_name, role, password_hash)
      values ('ines', ${nfd}, 'viewer', 'none')
    `
    t.strictSame([...(await sql`select display_name from users`)], [{ display_name: nfc }])
  },
)

t.test('an item written before this rule gets no revision for its normalization form alone', async (t) => {
  const sql = await open(t)
  const nfd = 'e\u0301'
  await sql`alter table items disable trigger items_are_in_nfc_insert`
  await sql`insert into items (part_number, description) values ('A', ${nfd})`
  await sql`update items set archived_at = now()`
  t.strictSame([...(await sql`select revision, description from items`)], [{ revision: 1, description: nfd }])
})

import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import t from 'tap'
import { connect } from '../../../store/driver/connect.js'
import { makeClassesFast } from '../../../store/driver/fast-classes.js'
import { createDatabase } from '../../harness/database.js'

setFlagsFromString('--allow-natives-syntax')
const isFast = runInThisContext('(object) => %HasFastProperties(object)') as (object: object) => boolean

t.test("the driver's classes are slow in V8 until they are made fast", async (t) => {
  const sql = connect(await createDatabase(t), 1)
  t.teardown(() => sql.end())
  const question = sql`select 1`
  const classes = [question.constructor, (await question).constructor]
  t.strictSame(classes.map(isFast), [false, false], 'the workaround is still needed')
  await makeClassesFast(sql)
  t.strictSame(classes.map(isFast), [true, true])
})

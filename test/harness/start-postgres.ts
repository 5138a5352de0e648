import t from 'tap'
import { createTemplate } from './database.js'

await createTemplate()
t.pass('the template database is migrated')

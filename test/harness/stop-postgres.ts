import { existsSync } from 'node:fs'
import t from 'tap'
import { noteOf, readNote } from './server-url.js'
import { waitFor } from './wait-for.js'

if (existsSync(noteOf(process.ppid))) {
  process.kill(readNote().keeper, 'SIGTERM')
  await waitFor('the server to be gone', () => !existsSync(noteOf(process.ppid)))
}
t.pass('the server is gone')

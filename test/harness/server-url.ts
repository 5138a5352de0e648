import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** The server of one run: its address as superuser, and the process that keeps it. */
const Note = Type.Object({ url: Type.String(), keeper: Type.Integer() })

/** Where a run's server is noted. A run is known by tap's own process, the parent of all that it starts. */
export const noteOf = (run: number): URL => new URL(`.tap/postgres-${run}.json`, import.meta.resolve('#root'))

export function readNote() {
  return Value.Parse(Note, JSON.parse(readFileSync(noteOf(process.ppid), 'utf8')))
}

/** The postgres:// address of the server that the tests use; its user may create databases and roles. */
export function serverUrl(): string {
  return process.env.TEST_DATABASE_URL ?? readNote().url
}

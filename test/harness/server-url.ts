import { readFileSync } from 'node:fs'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** The server of a run: its address for a superuser, and the id of the process that keeps it running. */
const Note = Type.Object({ url: Type.String(), keeper: Type.Integer() })

/**
 * Returns the file that describes the server of a run. `run` is the id of tap's process, the parent of all
 * test processes.
 */
export const noteOf = (run: number): URL => new URL(`.tap/postgres-${run}.json`, import.meta.resolve('#root'))

export function readNote() {
  return Value.Parse(Note, JSON.parse(readFileSync(noteOf(process.ppid), 'utf8')))
}

/**
 * Returns the postgres:// address of the server that the tests use. Its user can create databases and roles.
 */
export function serverUrl(): string {
  return process.env.TEST_DATABASE_URL ?? readNote().url
}

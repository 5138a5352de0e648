import { open } from 'node:fs/promises'
import { extname } from 'node:path'
import { type ImportResult, ImportResult as ImportResultSchema } from './responses.js'
import { EXIT, Failure } from './failure.js'
import { Progress } from './progress.js'
import { plain, print, printToStderr } from './screen.js'
import { type Where, openSession } from './session.js'

/** Timeout of an import, in ms: the same as the server's (routes/import.ts). */
const TIMEOUT_MS = 600_000

const MEDIA_TYPES: Record<string, string> = {
  '.csv': 'text/csv',
  '.ndjson': 'application/x-ndjson',
  '.jsonl': 'application/x-ndjson',
}

/** The options of `silo import`. */
export interface ImportOptions extends Where {
  dryRun?: boolean
  onConflict: string
}

async function openFile(path: string) {
  try {
    return await open(path)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new Failure(missing ? `There is no file ${path}.` : `Failed to read ${path}.`, EXIT.usage)
  }
}

/** Passes the chunks of a file on, and reports the number of bytes so far after each. */
async function* counted(pieces: AsyncIterable<Buffer>, sent: (bytes: number) => void) {
  let bytes = 0
  for await (const piece of pieces) {
    yield piece
    bytes += piece.length
    sent(bytes)
  }
}

function report({ created, updated, skipped, unchanged }: ImportResult, dryRun: boolean): string {
  const counts = `${created} created, ${updated} updated, ${skipped} skipped, ${unchanged} unchanged`
  return dryRun ? `Dry run, nothing was written: ${counts}.` : `${counts}.`
}

/**
 * Imports all rows of a file, or none; a dry run only reports what an import would do.
 * @throws {Failure} if a row is invalid, after printing what is wrong with each
 */
export async function importFile(path: string, options: ImportOptions): Promise<void> {
  const { dryRun = false, onConflict, ...where } = options
  const type = MEDIA_TYPES[extname(path).toLowerCase()]
  if (type === undefined) {
    throw new Failure(`${path} must be a .csv, .ndjson or .jsonl file.`, EXIT.usage)
  }
  const client = await openSession(where)
  await using file = await openFile(path)
  const { size } = await file.stat()
  const progress = new Progress(size)

  const pieces = counted(file.createReadStream({ autoClose: false }), (bytes) => progress.sent(bytes))
  const query = new URLSearchParams({ dry_run: String(dryRun), on_conflict: onConflict })
  const response = await client
    .send('POST', `/api/items/import?${query.toString()}`, {
      raw: { body: pieces, type },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    .finally(() => progress.end())

  if (response.status !== 422) {
    if (!response.ok) throw await client.refusal(response)
    return print(report(await client.read(ImportResultSchema, response), dryRun))
  }
  const { errors } = await client.read(ImportResultSchema, response)
  for (const { row, field, message } of errors) printToStderr(plain(`row ${row}: ${field} ${message}`))
  throw new Failure(`Nothing was imported: ${errors.length} ${errors.length === 1 ? 'error' : 'errors'}.`)
}

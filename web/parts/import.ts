import type { RowError } from '../../schemas/import.js'
import { ApiError, type ImportResult, messageOf, request } from './api.js'
import { find, findIn, make, textIn } from './dom.js'

const MEDIA_TYPES: Record<string, string> = {
  csv: 'text/csv',
  ndjson: 'application/x-ndjson',
  jsonl: 'application/x-ndjson',
}

const dialog = find('import-dialog', HTMLDialogElement)
const form = find('import-form', HTMLFormElement)
const fileInput = findIn(form, '[name=file]', HTMLInputElement)
const problem = findIn(form, '.problem')
const checkNow = find('check', HTMLButtonElement)
const importNow = find('import-now', HTMLButtonElement)
const number = new Intl.NumberFormat('en')

const mediaTypeOf = ({ name }: File) => MEDIA_TYPES[name.split('.').at(-1)?.toLowerCase() ?? '']

/** Formats the counts of an import, like `3 created, 1 unchanged`, without those that are 0. */
function countsOf({ created, updated, skipped, unchanged }: ImportResult): string {
  const counts = Object.entries({ created, updated, skipped, unchanged }).filter(([, count]) => count > 0)
  return counts.map(([what, count]) => `${number.format(count)} ${what}`).join(', ') || 'no rows'
}

function showErrors(errors: RowError[]): void {
  const table = find('row-errors', HTMLTableElement)
  table.hidden = errors.length === 0
  findIn(table, 'tbody').replaceChildren(
    ...errors.map(({ row, field, message }) =>
      make('tr', {}, make('td', {}, String(row)), make('td', {}, field), make('td', {}, message)),
    ),
  )
}

/** Clears the result of the last check: it does not apply to another file, or to other options. */
function forgetCheck(): void {
  problem.textContent = ''
  find('outcome').textContent = ''
  showErrors([])
  importNow.disabled = true
}

/** The `AbortController` of the current request. Closing the dialog aborts it. */
let currentRequest: AbortController | undefined

/** Sends the file; `dryRun` writes nothing. */
async function send(dryRun: boolean, signal: AbortSignal): Promise<ImportResult> {
  const [file] = fileInput.files ?? []
  const type = file && mediaTypeOf(file)
  if (type === undefined) throw new Error('Choose a .csv, .ndjson or .jsonl file.')
  const query = new URLSearchParams({ dry_run: String(dryRun), on_conflict: textIn(form, 'on_conflict') })
  const headers = { 'content-type': type }
  const path = `/api/items/import?${query.toString()}`
  const response = await request('POST', path, { headers, body: file, signal })
  return (await response.json()) as ImportResult
}

function showFailure(error: unknown): void {
  if (error instanceof ApiError && error.code === 'import_rejected') {
    const { errors = [] } = error.body
    showErrors(errors)
    const count = errors.length === 1 ? '1 error' : `${number.format(errors.length)} errors`
    problem.textContent = `Nothing was imported: ${count}. Fix the file, then choose it again.`
    // Once the user has edited the file, the browser can't read it until it is chosen again.
    fileInput.value = ''
  } else {
    problem.textContent =
      error instanceof TypeError
        ? 'The upload failed. Check your connection. If the file has changed, choose it again.'
        : messageOf(error)
  }
}

async function run(dryRun: boolean, show: (result: ImportResult) => void): Promise<void> {
  forgetCheck()
  currentRequest = new AbortController()
  const { signal } = currentRequest
  checkNow.disabled = true
  find('outcome').textContent = dryRun ? 'Checking…' : 'Importing…'
  try {
    const result = await send(dryRun, signal)
    if (!signal.aborted) show(result)
  } catch (error) {
    if (signal.aborted) return
    find('outcome').textContent = ''
    showFailure(error)
  } finally {
    if (!signal.aborted) {
      currentRequest = undefined
      checkNow.disabled = false
    }
  }
}

const check = () =>
  run(true, (result) => {
    find('outcome').textContent = `No errors found: ${countsOf(result)}. Nothing has been imported yet.`
    importNow.disabled = result.created + result.updated === 0
  })

/**
 * Connects the dialog's controls.
 * @param imported is called after an import, with a text that describes its result
 */
export function prepareImport(imported: (text: string) => void): void {
  form.addEventListener('change', forgetCheck)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void check()
  })
  importNow.addEventListener('click', () =>
    run(false, (result) => {
      dialog.close()
      imported(`Imported: ${countsOf(result)}.`)
    }),
  )
  findIn(form, '[data-cancel]').addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => currentRequest?.abort())
}

/** Opens the dialog without a file. */
export function openImport(): void {
  form.reset()
  checkNow.disabled = false
  forgetCheck()
  dialog.showModal()
}

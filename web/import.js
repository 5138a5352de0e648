import { ApiError, request } from './api.js'
import { find, make } from './page.js'

const MEDIA_TYPES = { csv: 'text/csv', ndjson: 'application/x-ndjson', jsonl: 'application/x-ndjson' }

const dialog = find('import-dialog')
const form = find('import-form')
const problem = form.querySelector('.problem')
const importNow = find('import-now')
const number = new Intl.NumberFormat('en')

const mediaTypeOf = ({ name }) => MEDIA_TYPES[name.split('.').at(-1).toLowerCase()]

/** Formats the counts of an import, like `3 created, 1 unchanged`, without those that are 0. */
function countsOf({ created, updated, skipped, unchanged }) {
  const counts = Object.entries({ created, updated, skipped, unchanged }).filter(([, count]) => count > 0)
  return counts.map(([what, count]) => `${number.format(count)} ${what}`).join(', ') || 'no rows'
}

function showErrors(errors) {
  const table = find('row-errors')
  table.hidden = errors.length === 0
  table.tBodies[0].replaceChildren(
    ...errors.map(({ row, field, message }) =>
      make('tr', {}, make('td', {}, String(row)), make('td', {}, field), make('td', {}, message)),
    ),
  )
}

/** Clears the result of the last check: it does not apply to another file, or to other options. */
function forgetCheck() {
  problem.textContent = ''
  find('outcome').textContent = ''
  showErrors([])
  importNow.disabled = true
}

/** The `AbortController` of the current request. Closing the dialog aborts it. */
let asking

/** Sends the file; `dryRun` writes nothing. */
async function send(dryRun, signal) {
  const [file] = form.elements.file.files
  const type = mediaTypeOf(file)
  if (type === undefined) throw new Error('The name of the file must end in .csv, .ndjson or .jsonl.')
  const query = new URLSearchParams({ dry_run: dryRun, on_conflict: form.elements.on_conflict.value })
  const headers = { 'content-type': type }
  const answer = await request('POST', `/api/items/import?${query}`, { headers, body: file, signal })
  return answer.json()
}

function showFailure(error) {
  if (error instanceof ApiError && error.code === 'import_rejected') {
    const { errors } = error.body
    showErrors(errors)
    problem.textContent = `Nothing was imported: ${errors.length === 1 ? 'one error' : `${number.format(errors.length)} errors`}. Mend the file, and choose it again.`
    // Once the user has edited the file, the browser can't read it until it is chosen again.
    form.elements.file.value = ''
  } else {
    problem.textContent =
      error instanceof TypeError
        ? 'The file could not be sent: the server can’t be reached, or the file has changed since it was chosen.'
        : error.message
  }
}

async function run(dryRun, show) {
  forgetCheck()
  asking = new AbortController()
  const { signal } = asking
  find('check').disabled = true
  find('outcome').textContent = dryRun ? 'Checking …' : 'Importing …'
  try {
    const result = await send(dryRun, signal)
    if (!signal.aborted) show(result)
  } catch (error) {
    if (signal.aborted) return
    find('outcome').textContent = ''
    showFailure(error)
  } finally {
    if (!signal.aborted) {
      asking = undefined
      find('check').disabled = false
    }
  }
}

const check = () =>
  run(true, (result) => {
    find('outcome').textContent = `The file is good: ${countsOf(result)}. Nothing has been written yet.`
    importNow.disabled = result.created + result.updated === 0
  })

/**
 * Connects the dialog's controls.
 * @param imported is called after an import, with a text that describes its result
 */
export function prepareImport(imported) {
  form.addEventListener('change', forgetCheck)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    check()
  })
  importNow.addEventListener('click', () =>
    run(false, (result) => {
      dialog.close()
      imported(`Imported: ${countsOf(result)}.`)
    }),
  )
  form.querySelector('[data-cancel]').addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => asking?.abort())
}

/** Opens the dialog without a file. */
export function openImport() {
  form.reset()
  find('check').disabled = false
  forgetCheck()
  dialog.showModal()
}

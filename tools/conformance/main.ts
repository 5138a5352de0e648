import { UsageError, USAGE, readArguments } from './arguments.js'
import { type Result, runChecks } from './run.js'

const SIGNS = { passed: '✓', failed: '✗', skipped: '–' }

function lineOf({ title, outcome, reason, source }: Result): string {
  const line = `${SIGNS[outcome]} ${title}`
  if (outcome === 'passed') return line
  return outcome === 'skipped' ? `${line} (${reason})` : `${line}\n    ${reason}. [${source}]`
}

function summaryOf(results: Result[]): string {
  const count = (outcome: Result['outcome']) => results.filter((result) => result.outcome === outcome).length
  return `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`
}

async function main(args: string[]): Promise<void> {
  const wanted = readArguments(args)
  if (!wanted) return void process.stdout.write(USAGE)
  const { target, json } = wanted
  const results = await runChecks(target, (result) => {
    if (!json) console.log(lineOf(result))
  })
  const passed = results.every(({ outcome }) => outcome !== 'failed')
  if (json) console.log(JSON.stringify({ url: target.url.href, passed, results }, null, 2))
  else console.log(`\n${summaryOf(results)}`)
  process.exitCode = passed ? 0 : 1
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${USAGE}`)
  process.exitCode = 1
}

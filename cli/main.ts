import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { EXIT, Failure } from './failure.js'
import { importFile } from './import.js'
import { get, search } from './items.js'
import { login, logout } from './login.js'
import { painter, plain, tell } from './screen.js'
import { tail } from './tail.js'
import { createToken } from './token.js'

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number, at least 1.')
  return Number(text)
}

const collect = (value: string, before: string[] = []): string[] => [...before, value]

const program = new Command('silo')
  .description('The items of a Silo, and every change to them, from the command line.')
  .exitOverride()
  .showHelpAfterError('(silo --help tells more)')
  .addHelpText(
    'after',
    `
Without --url a command talks to SILO_URL, or to the Silo that was signed in at last. SILO_TOKEN is used instead of the
sign-in that is kept; SILO_CREDENTIALS says where that is kept; NO_COLOR turns colours off.

Exit codes: 1 refused or not found, 2 not understood, 3 not signed in or not allowed, 4 the server can't be reached.`,
  )

/** Adds a command with the option `--url`. */
const command = (parent: Command, usage: string, description: string): Command =>
  parent.command(usage).description(description).option('--url <address>', 'the Silo to talk to')

command(program, 'login', 'sign in; the password is asked for, and is not shown')
  .option('--username <name>', 'who signs in (asked for without it)')
  .option('--password-stdin', 'read the password from the standard input')
  .action(login)

command(program, 'logout', 'sign out, and revoke what the sign-in has made').action(logout)

command(program, 'tail', 'show every change as it happens')
  .option(
    '--types <types>',
    'only these, comma-separated: item.created, item.updated, item.deleted, revision.created',
  )
  .option('--part <number>', 'only this part, or A01-* for all that begin so; can be given again', collect)
  .option('--since <id>', 'begin after this event, or "earliest" for all that is kept')
  .option('--json', 'a line of JSON for each event')
  .action(tail)

command(program, 'get <part-number>', 'show an item').option('--json', 'as JSON').action(get)

command(program, 'search <words...>', 'list the items in which all these words stand')
  .option('--type <type>', 'only part, assembly, drawing, document, tool or consumable')
  .option('--limit <count>', 'at most so many', wholeNumber, 50)
  .option('--json', 'a line of JSON for each item')
  .action(search)

command(program, 'import <file>', 'import a .csv, .ndjson or .jsonl file, all of it or nothing')
  .option('--dry-run', 'say what would happen, and write nothing')
  .addOption(
    new Option('--on-conflict <what>', 'what becomes of items that exist and differ')
      .choices(['error', 'skip', 'update'])
      .default('error'),
  )
  .action(importFile)

const token = program.command('token').description('API tokens, for programs')
command(token, 'create <name>', 'create one of your own; its secret is printed, this once')
  .option('--role <role>', 'viewer, editor or admin; yours without it')
  .option(
    '--days <count>',
    'how long it holds, at most as long as this sign-in unless it is kept',
    wholeNumber,
    90,
  )
  .option('--keep', 'let it outlive this sign-in; asks for the password')
  .option('--password-stdin', 'read the password from the standard input')
  .action(createToken)

/** Returns the exit code for an error, and prints its message. Throws errors that it does not know. */
function endOf(error: unknown): number {
  // commander has printed the help, or what is wrong with the command line.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  if (error instanceof Error && error.message === 'canceled') return 130
  if (!(error instanceof Failure)) throw error
  // The message may quote a server, a file or its name, so its lines are made safe for a terminal.
  const lines = error.message.split('\n').map((line) => (line.startsWith('  ') ? '  ' : '') + plain(line))
  tell(`${painter(process.stderr)('red', 'silo:')} ${lines.join('\n')}`)
  return error.exitCode
}

// `head` in `silo tail | head` closes the pipe after its last line, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = endOf(error)
}

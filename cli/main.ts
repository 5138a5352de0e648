import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { EXIT, Failure } from './failure.js'
import { importFile } from './import.js'
import { get, search } from './items.js'
import { login, logout } from './login.js'
import { painter, plain, printToStderr } from './screen.js'
import { tail } from './tail.js'
import { createToken } from './token.js'

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of at least 1.')
  return Number(text)
}

const collect = (value: string, before: string[] = []): string[] => [...before, value]

const program = new Command('silo')
  .description('Read, search and import the items of a Silo, and follow their changes.')
  .exitOverride()
  .showHelpAfterError('(see silo --help)')
  .addHelpText(
    'after',
    `
Without --url, a command uses SILO_URL, or the Silo of the last sign-in. SILO_TOKEN replaces the saved
sign-in; SILO_CREDENTIALS is the path of the file with the sign-ins; NO_COLOR turns colours off.

Exit codes: 1 refused or not found, 2 invalid usage, 3 not signed in or not allowed, 4 server unreachable.`,
  )

/** Adds a command with the option `--url`. */
const command = (parent: Command, usage: string, description: string): Command =>
  parent.command(usage).description(description).option('--url <address>', 'the address of the Silo')

command(program, 'login', 'sign in; prompts for the password')
  .option('--username <name>', 'the username (prompted for if missing)')
  .option('--password-stdin', 'read the password from standard input')
  .action(login)

command(program, 'logout', 'sign out, and revoke the tokens of the sign-in').action(logout)

command(program, 'tail', 'show every change as it happens')
  .option(
    '--types <types>',
    'only events of these types, comma-separated: item.created, item.updated, item.deleted, revision.created',
  )
  .option('--part <number>', 'only this part number, or a prefix such as A01-*; can be repeated', collect)
  .option('--since <id>', 'start after this event, or "earliest" for all stored events')
  .option('--json', 'print a line of JSON for each event')
  .action(tail)

command(program, 'get <part-number>', 'show an item').option('--json', 'print JSON').action(get)

command(program, 'search <words...>', 'list the items that contain all these words')
  .option('--type <type>', 'only items of this type: part, assembly, drawing, document, tool or consumable')
  .option('--limit <count>', 'maximum number of items', wholeNumber, 50)
  .option('--json', 'print a line of JSON for each item')
  .action(search)

command(program, 'import <file>', 'import all rows of a .csv, .ndjson or .jsonl file, or none')
  .option('--dry-run', 'report what would happen without writing')
  .addOption(
    new Option('--on-conflict <what>', 'what to do with rows whose item exists with other values')
      .choices(['error', 'skip', 'update'])
      .default('error'),
  )
  .action(importFile)

const token = program.command('token').description('manage API tokens for programs')
command(token, 'create <name>', 'create a token; its secret is printed once')
  .option('--role <role>', 'viewer, editor or admin (default: your role)')
  .option('--days <count>', 'lifetime in days; without --keep at most that of this sign-in', wholeNumber, 90)
  .option('--keep', 'let the token outlive this sign-in; prompts for the password')
  .option('--password-stdin', 'read the password from standard input')
  .action(createToken)

/** Returns the exit code for an error, and prints its message. Throws errors that it does not know. */
function endOf(error: unknown): number {
  // commander has printed the help, or what is wrong with the command line.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  if (error instanceof Error && error.message === 'canceled') return 130
  if (!(error instanceof Failure)) throw error
  // The message may quote a response, a file or a file name, so its lines are made safe for a terminal.
  const lines = error.message.split('\n').map((line) => (line.startsWith('  ') ? '  ' : '') + plain(line))
  printToStderr(`${painter(process.stderr)('red', 'silo:')} ${lines.join('\n')}`)
  return error.exitCode
}

// `head` in `silo tail | head` closes the pipe after its last line, which is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = endOf(error)
}

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const LAUNCHER = fileURLToPath(new URL('cli/silo.js', import.meta.resolve('#root')))

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** A running `silo` command, which is killed when the test ends. */
export class Command {
  stdout = ''
  stderr = ''
  readonly #ended: Promise<Ended>

  constructor(
    t: Test,
    readonly child: ChildProcess,
  ) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.#ended = new Promise((resolve) => {
      child.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }))
    })
    t.teardown(() => child.kill('SIGKILL'))
  }

  type(text: string): void {
    this.child.stdin?.write(text)
  }

  get lines(): string[] {
    return this.stdout.split('\n').slice(0, -1)
  }

  ended(): Promise<Ended> {
    return this.#ended
  }
}

/** A shell with a home directory and environment variables of its own. */
export class Shell {
  private constructor(
    readonly t: Test,
    readonly home: string,
    readonly env: Record<string, string>,
  ) {}

  static async open(t: Test, env: Record<string, string> = {}): Promise<Shell> {
    const home = await mkdtemp(join(tmpdir(), 'silo-home-'))
    t.teardown(() => rm(home, { recursive: true, force: true }))
    return new Shell(t, home, env)
  }

  get credentials(): string {
    return join(this.home, 'config', 'silo', 'credentials.json')
  }

  #spawn(program: string, args: string[]): Command {
    const child = spawn(program, args, {
      env: {
        PATH: process.env.PATH,
        HOME: this.home,
        XDG_CONFIG_HOME: join(this.home, 'config'),
        TERM: 'xterm-256color',
        ...this.env,
      },
      stdio: 'pipe',
    })
    return new Command(this.t, child)
  }

  start(...args: string[]): Command {
    return this.#spawn(process.execPath, [LAUNCHER, ...args])
  }

  /** Runs the command on a terminal; `stdout` has both of its outputs. */
  startOnTerminal(...args: string[]): Command {
    const line = [process.execPath, LAUNCHER, ...args].map((word) => `'${word}'`).join(' ')
    return this.#spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'])
  }

  /** Runs the command to its end, with `input` as its standard input. */
  run(args: string[], input = ''): Promise<Ended> {
    const command = this.start(...args)
    command.child.stdin?.end(input)
    return command.ended()
  }
}

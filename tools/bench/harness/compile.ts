import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Program } from '../../harness/program.js'
import type { Scope } from '../../harness/scope.js'

/**
 * Compiles a C file of this repository. Returns the path of the program, which is removed when `scope` ends.
 * @throws {Missing} when there is no compiler
 */
export async function compile(scope: Scope, source: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
  scope.defer(() => rm(folder, { recursive: true }))
  const program = join(folder, basename(source, '.c'))
  const compiler = await Program.start(scope, 'cc', [
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-o',
    program,
    source,
  ])
  await compiler.done()
  return program
}

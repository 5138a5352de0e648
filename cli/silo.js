#!/usr/bin/env node
// The command `silo` in a clone of the repository. `npm ci` builds nothing, so the first call builds the
// project (docs/decisions/0007). This file is plain JavaScript because it runs before the build.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { URL, fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const main = new URL('../dist/cli/main.js', import.meta.url)

if (!existsSync(main)) {
  process.stderr.write('silo: building (first run only) …\n')
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' })
}
await import(main.href)

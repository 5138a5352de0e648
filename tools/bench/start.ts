import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Program } from '../harness/program.js'
import { LISTENING } from '../harness/service.js'
import type { Question } from './harness/question.js'
import type { Scope } from '../harness/scope.js'

/** Starts the service on `folder`. Returns the time until it has responded to a request, in ms. */
async function startOn(scope: Scope, folder: string): Promise<{ ms: number; service: Program }> {
  const began = performance.now()
  const service = await Program.service(scope, { SILO_DATA_DIR: folder })
  const [, origin = ''] = await service.printed(LISTENING)
  const response = await fetch(`${origin}/health`)
  if (!response.ok) throw new Error(`the service responded with ${response.status}`)
  return { ms: performance.now() - began, service }
}

const start: Question = {
  title: 'Start to first response, embedded PostgreSQL',
  method:
    'From the start of the process to its response to `GET /health`. The first start creates the database; ' +
    'the second start finds it.',
  metrics: [
    { name: 'second start', unit: 'ms', better: 'lower' },
    { name: 'first start', unit: 'ms', better: 'lower' },
  ],
  targets: [],
  sides: () => [
    {
      name: 'Silo',
      async measure(scope) {
        const folder = await mkdtemp(join(tmpdir(), 'silo-bench-'))
        scope.defer(() => rm(folder, { recursive: true }))
        const first = await startOn(scope, folder)
        await first.service.stop()
        const second = await startOn(scope, folder)
        return { 'first start': first.ms, 'second start': second.ms }
      },
    },
  ],
}

export default start

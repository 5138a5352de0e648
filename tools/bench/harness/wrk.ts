import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Program } from '../../harness/program.js'
import type { Scope } from '../../harness/scope.js'

/** A request to repeat. `{n}` in the path and the body is replaced by a seven-digit number that varies. */
export interface Asked {
  method: 'GET' | 'POST' | 'PUT'
  path: string
  headers?: Record<string, string>
  body?: string
  /** How many numbers there are before they repeat; 1 by default. */
  numbers?: number
}

interface Options {
  connections: number
  seconds: number
  /** The first of the numbers; 0 by default. */
  first?: number
}

const Printed = Type.Object({
  requests: Type.Integer(),
  duration: Type.Integer(),
  p50: Type.Integer(),
  p99: Type.Integer(),
  refused: Type.Integer(),
  broken: Type.Integer(),
})

/**
 * Difference between the item numbers of consecutive requests. A prime that does not divide their count, so
 * that each number is used once before the first one is used again.
 */
const STRIDE = 7919

/**
 * Sends requests with wrk, a client in C. Each connection sends its next request after the last response.
 * @returns requests per second, and latencies in ms
 * @throws {Error} when a request was refused or a connection broke
 * @throws {Missing} when wrk is not installed
 */
export async function askWithWrk(
  scope: Scope,
  origin: string,
  { method, path, headers = {}, body = '', numbers = 1 }: Asked,
  { connections, seconds, first = 0 }: Options,
): Promise<{ rate: number; p50: number; p99: number }> {
  const stride = numbers > STRIDE ? STRIDE : 1
  const options = ['-t', '1', '-c', String(connections), '-d', String(seconds), '--timeout', '20']
  const sent = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const script = ['-s', 'tools/bench/harness/requests.lua', origin, '--']
  const args = [...options, ...sent, ...script, method, path, body, ...[first, numbers, stride].map(String)]
  const output = await (await Program.start(scope, 'wrk', args)).done()
  const [line = ''] = /^\{.*\}$/m.exec(output) ?? []
  const { requests, duration, p50, p99, refused, broken } = Value.Parse(Printed, JSON.parse(line))
  if (refused + broken > 0) {
    throw new Error(`${method} ${path}: ${refused} of ${requests} were refused, ${broken} connections broke`)
  }
  return { rate: requests / (duration / 1e6), p50: p50 / 1000, p99: p99 / 1000 }
}

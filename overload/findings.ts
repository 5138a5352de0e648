import type { Scope } from '../bench/harness/scope.js'

/** What an experiment has measured, and which of its bounds did not hold. */
export class Findings {
  readonly figures: [name: string, value: string][] = []
  readonly broken: string[] = []

  figure(name: string, value: string | number): void {
    this.figures.push([name, typeof value === 'number' ? Math.round(value).toLocaleString('en') : value])
  }

  /** Says what is being done, to whoever waits. */
  progress(line: string): void {
    process.stderr.write(`${line}\n`)
  }

  /** Notes `sentence` as broken unless it `holds`. */
  bound(holds: boolean, sentence: string): void {
    if (!holds) this.broken.push(sentence)
  }
}

export type Experiment = (scope: Scope, findings: Findings) => Promise<void>

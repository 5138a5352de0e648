import type { Scope } from '../harness/scope.js'

/** What an experiment has measured, and which of its bounds have failed. */
export class Findings {
  readonly figures: [name: string, value: string][] = []
  readonly broken: string[] = []

  figure(name: string, value: string | number): void {
    this.figures.push([name, typeof value === 'number' ? Math.round(value).toLocaleString('en') : value])
  }

  /** Prints what the experiment is doing to the standard error. */
  progress(line: string): void {
    process.stderr.write(`${line}\n`)
  }

  /** Records `sentence` as a failed bound unless it `holds`. */
  bound(holds: boolean, sentence: string): void {
    if (!holds) this.broken.push(sentence)
  }
}

/** Measures one kind of overload, and adds figures and failed bounds to `findings`. */
export type Experiment = (scope: Scope, findings: Findings) => Promise<void>

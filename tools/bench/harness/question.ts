import type { Scope } from '../../harness/scope.js'

/** The result of one measurement: the value of each metric, by its name. */
export type Figures = Readonly<Record<string, number>>

/** A figure that a benchmark measures. */
export interface Metric {
  name: string
  unit: string
  better: 'higher' | 'lower'
}

/** One side of a comparison: the service, a peer, or the limit of what is possible on this machine. */
export interface Side {
  name: string
  /**
   * Measures once, in processes that it starts in `scope` and that end with it. Returns the metrics that this
   * side has, which may be only some of the benchmark's.
   * @throws {Missing} when it can't be measured on this machine
   */
  measure(scope: Scope): Promise<Figures>
}

/**
 * The goal of a side for a metric: a value, or a ratio to another figure (that of another side, of another
 * metric, or of both). It is a minimum if higher figures are better, and a maximum otherwise.
 */
export interface Target {
  metric: string
  side: string
  goal: { ratio: number; to: { side?: string; metric?: string } } | { value: number }
}

/** One benchmark: the default export of its file, or one of several there that differ only in a number. */
export interface Question {
  title: string
  /** What is measured, and how, in enough detail to decide whether the comparison is fair. */
  method: string
  metrics: readonly Metric[]
  targets: readonly Target[]
  /** Timeout of one measurement, in ms, after which it has failed; 120,000 by default. */
  limitMs?: number
  /** How often each side is measured; 3 by default. More often where figures differ between processes. */
  rounds?: number
  /** Returns the sides. Prepares what they share in `scope`, which ends with the benchmark. */
  sides(scope: Scope): Promise<readonly Side[]> | readonly Side[]
}
